//! What no program of an agent may ask of the kernel.
//!
//! nspawn's own filter does not reach them: it holds for what nspawn starts, and they join from outside. It is a
//! list of what is refused, because agents run what they find; what a filter must know of is what an account without
//! any privilege could still get at: other namespaces, in which it would be root, and parts of the kernel that
//! do not know of namespaces.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// Refused whatever their arguments.
const REFUSED: [i64; 41] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    // These make sockets without asking for them by the call that is looked at below.
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    // Keyrings belong to accounts, not to namespaces.
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// The kinds of sockets that there are for agents. Of the kernel's own, netlink, only routes, of which node asks
/// for the addresses of the machine. Not among them: vsock, which leads to whoever runs a virtual host, and packets.
const SOCKETS: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Puts this thread, and what it will start, under the filter for good. It also gives up every further privilege.
///
/// # Errors
/// What the kernel refused, for people.
pub(super) fn apply() -> Result<(), String> {
    for program in programs().map_err(|error| error.to_string())? {
        seccompiler::apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn programs() -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let sockets = || -> Result<_, seccompiler::BackendError> {
        let others = SOCKETS
            .iter()
            .map(|&family| condition(0, Is::Ne, family))
            .collect::<Result<_, _>>()?;
        let netlink = vec![
            condition(0, Is::Eq, libc::AF_NETLINK)?,
            condition(2, Is::Ne, libc::NETLINK_ROUTE)?,
        ];
        Ok(vec![SeccompRule::new(others)?, SeccompRule::new(netlink)?])
    };
    refused.insert(libc::SYS_socket, sockets()?);
    refused.insert(libc::SYS_socketpair, sockets()?);
    let clone = NAMESPACES.iter().map(|&flag| {
        let flags = u64::from(flag.cast_unsigned());
        let set = SeccompCondition::new(0, Length::Qword, Is::MaskedEq(flags), flags)?;
        SeccompRule::new(vec![set])
    });
    refused.insert(libc::SYS_clone, clone.collect::<Result<_, _>>()?);
    // Puts characters into a terminal as if they had been typed there.
    let tiocsti = SeccompCondition::new(1, Length::Dword, Is::Eq, libc::TIOCSTI)?;
    refused.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![tiocsti])?]);
    // Its flags are out of a filter's reach. Whoever hears that there is no such call takes `clone`.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok([
        program(refused, libc::EPERM)?,
        program(unknown, libc::ENOSYS)?,
    ])
}

fn condition(
    argument: u8,
    is: Is,
    value: i32,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    let value = u64::from(value.cast_unsigned());
    SeccompCondition::new(argument, Length::Dword, is, value)
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: i32,
) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(error.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

    #[test]
    fn what_leads_out_is_refused_and_what_agents_need_is_not() {
        // A filter holds for its thread alone.
        std::thread::spawn(|| {
            let open = |family, protocol: Option<SockProtocol>| {
                socket(family, SockType::Datagram, SockFlag::empty(), protocol).map(drop)
            };
            apply().unwrap();
            open(AddressFamily::Inet, None).unwrap();
            open(AddressFamily::Unix, None).unwrap();
            open(AddressFamily::Netlink, Some(SockProtocol::NetlinkRoute)).unwrap();
            for (family, protocol) in [
                (AddressFamily::Vsock, None),
                (AddressFamily::Packet, None),
                (AddressFamily::Alg, None),
                (AddressFamily::Netlink, Some(SockProtocol::NetlinkAudit)),
            ] {
                assert_eq!(open(family, protocol), Err(Errno::EPERM), "{family:?}");
            }
            assert_eq!(unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
            // Threads and programs still start.
            std::thread::spawn(|| ()).join().unwrap();
            let unshared = std::process::Command::new("unshare")
                .args(["-U", "true"])
                .status();
            assert!(!unshared.unwrap().success());
            let run = std::process::Command::new("sh")
                .args(["-c", "exit 7"])
                .status();
            assert_eq!(run.unwrap().code(), Some(7));
        })
        .join()
        .unwrap();
    }
}
