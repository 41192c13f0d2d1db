//! `cargo xtask bench tenants`: tenants made, started and provisioned in a booted image, against bare systemd-nspawn.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clawdie_image::qemu::{self, Accel, Machine, Running};
use clawdie_image::tool::Tool;
use clawdie_image::{Error, ErrorKind, Result, ResultExt as _};

use super::images::Images;
use crate::{doctor, house};

/// Tenants: time and disk of each, against bare systemd-nspawn
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In a booted image, one after the other: `register-tenant` and
`provision-tenant` without a vault, which makes a jail and starts it with its
network; and bare systemd-nspawn on the smallest root that it takes, which runs
`true` and ends. Both in the same run, so their ratio says more than the times.
Aims: below 2 s and 20 MB for each tenant, and 100 cost a hundred times what
one costs; each has its verdict beside the figure.

Examples:
  cargo xtask bench tenants
  cargo xtask bench tenants --counts 1,10 --json"
)]
pub(crate) struct Args {
    /// How many tenants, for each row
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100],
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    counts: Vec<u32>,
    /// Memory of the machine in MiB
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What root runs on the machine.
const MEASURE: &str = include_str!("tenants.sh");

/// The operator's login.
const LOGIN: &str = "ada";

/// With KVM a boot takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Most seconds of a tenant, by the aims.
const MOST_SECONDS: f64 = 2.0;

/// Most MB of a tenant, by the aims.
const MOST_MB: f64 = 20.0;

/// How much dearer than one of few a tenant may be when there are many, to count as linear.
const LINEAR: f64 = 1.5;

const SSH: Tool = Tool {
    program: "ssh",
    package: "openssh-client",
    why: "the measurement runs on the booted machine",
};

const SSH_KEYGEN: Tool = Tool {
    program: "ssh-keygen",
    package: "openssh-client",
    why: "the booted machine lets nobody in without a key",
};

/// What so many tenants took.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
struct Row {
    tenants: u32,
    /// Of one, in seconds.
    seconds: f64,
    /// Of one, in MB.
    megabytes: f64,
    /// Bare systemd-nspawn, in seconds for one.
    bare_seconds: f64,
    /// Its root, in MB for one.
    bare_megabytes: f64,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.seconds / self.bare_seconds
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    doctor::ensure(doctor::Purpose::Test, false)?;
    let images = Images::new()?;
    let key = Key::new(images.work.path())?;
    anstream::eprintln!("preparing what is not measured: an image, and its first boot");
    let setup = format!(
        "OPENROUTER_API_KEY=sk-or-v1-{}\nTELEGRAM=none\nHOSTNAME=hive\nOPERATOR_USER={LOGIN}\n\
         SSH_AUTHORIZED_KEY={}\n",
        "0".repeat(64),
        key.public
    );
    let seed = house::seed(&images.checkout, &images.recipe, Some(setup.into_bytes()))?;
    let image = images.image("tenants", &images.recipe, seed)?;
    let (_folder, stick) = images.stick(&image)?;
    let machine = Machine {
        network: qemu::Network::Isolated,
        writes: qemu::Writes::Kept,
        memory: args.memory,
        ..Machine::new(&stick)
    };
    let mut running = machine.start(&images.work.path().join("console.log"))?;
    running.console().wait_for(
        "Clawdie first boot: READY",
        PATIENCE * Accel::probe()?.slowness(),
    )?;
    anstream::eprintln!("measuring, on the booted machine");
    let rows = parse(&measure(&key, &running, &args.counts)?)?;
    if args.json {
        let json = serde_json::to_string_pretty(&rows)
            .or_error(ErrorKind::Failed, || "the figures".to_owned())?;
        anstream::println!("{json}");
    } else {
        anstream::print!("{}", table(&rows));
    }
    Ok(())
}

/// A key to log in with.
struct Key {
    private: PathBuf,
    public: String,
}

impl Key {
    fn new(folder: &Path) -> Result<Self> {
        let private = folder.join("id_ed25519");
        let mut command = SSH_KEYGEN.command()?;
        command
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"])
            .arg(&private);
        clawdie_image::tool::run(&mut command)?;
        let public = fs_err::read_to_string(private.with_extension("pub"))?;
        Ok(Self {
            private,
            public: public.trim().to_owned(),
        })
    }
}

/// Runs [`MEASURE`] as root of the machine; what it printed.
fn measure(key: &Key, running: &Running, counts: &[u32]) -> Result<String> {
    let counts: Vec<_> = counts.iter().map(u32::to_string).collect();
    let script = format!("counts='{}'\n{MEASURE}", counts.join(" "));
    let input = key.private.with_file_name("measure.sh");
    fs_err::write(&input, script)?;
    let output = SSH
        .command()?
        .args(["-F", "/dev/null", "-o", "BatchMode=yes"])
        .args(["-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"])
        .args(["-o", "UserKnownHostsFile=/dev/null"])
        .args(["-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"])
        .arg("-i")
        .arg(&key.private)
        .args(["-p", &running.ssh_port().to_string()])
        .arg(format!("{LOGIN}@127.0.0.1"))
        .arg("sudo -n sh")
        .stdin(fs_err::File::open(&input)?.into_parts().0)
        .stderr(Stdio::inherit())
        .output()
        .or_error(ErrorKind::Failed, || "`ssh` cannot be started".into())?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(printed)
    } else {
        Err(Error::failed(format!(
            "the measurement on the machine ended with {}; it had printed: {printed}",
            output.status
        )))
    }
}

/// The rows out of what [`MEASURE`] prints: `ours|bare COUNT MILLISECONDS KIB`.
fn parse(printed: &str) -> Result<Vec<Row>> {
    let wrong =
        |line: &str| Error::failed(format!("the machine measured `{line}`, which is no row"));
    let mut rows = Vec::new();
    let mut bare = None;
    for line in printed.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [who, count, milliseconds, kib] = words[..] else {
            return Err(wrong(line));
        };
        let number = |word: &str| word.parse::<f64>().map_err(|_| wrong(line));
        let tenants: u32 = count.parse().map_err(|_| wrong(line))?;
        let each = f64::from(tenants);
        let seconds = number(milliseconds)? / 1000.0 / each;
        let megabytes = number(kib)? * 1024.0 / 1e6 / each;
        match (who, bare.take()) {
            ("bare", None) => bare = Some((tenants, seconds, megabytes)),
            ("ours", Some((same, bare_seconds, bare_megabytes))) if same == tenants => {
                rows.push(Row {
                    tenants,
                    seconds,
                    megabytes,
                    bare_seconds,
                    bare_megabytes,
                });
            }
            _ => return Err(wrong(line)),
        }
    }
    match rows.is_empty() || bare.is_some() {
        true => Err(Error::failed("the machine did not measure everything")),
        false => Ok(rows),
    }
}

/// The rows, and what they say of the aims.
fn table(rows: &[Row]) -> String {
    let mut text = String::from("tenants     s each    MB each   nspawn s  nspawn MB   ratio\n");
    for row in rows {
        text += &format!(
            "{:>7} {:>10.2} {:>10.2} {:>10.2} {:>10.2} {:>7.2}\n",
            row.tenants,
            row.seconds,
            row.megabytes,
            row.bare_seconds,
            row.bare_megabytes,
            row.ratio()
        );
    }
    let most = |of: fn(&Row) -> f64| rows.iter().map(of).fold(0.0, f64::max);
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    let (seconds, megabytes) = (most(|row| row.seconds), most(|row| row.megabytes));
    text += &format!(
        "below {MOST_SECONDS} s each              {:>7.2}  {}\n\
         below {MOST_MB} MB each            {:>7.2}  {}\n",
        seconds,
        verdict(seconds < MOST_SECONDS),
        megabytes,
        verdict(megabytes < MOST_MB),
    );
    if let (Some(few), Some(many)) = (rows.first(), rows.last())
        && rows.len() > 1
    {
        let growth = many.seconds / few.seconds;
        text += &format!(
            "one of {} against one of {:<6} {:>7.2}  {}\n",
            many.tenants,
            few.tenants,
            growth,
            verdict(growth < LINEAR)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_of_one_tenant_each() {
        let rows =
            parse("bare 1 1300 64\nours 1 1500 1000\nbare 10 12000 640\nours 10 20000 10000\n");
        let rows = rows.unwrap();
        assert_eq!((rows[1].tenants, rows[1].seconds), (10, 2.0));
        assert_eq!((rows[1].bare_seconds, rows[1].megabytes), (1.2, 1.024));
        assert!((rows[0].ratio() - 1.5 / 1.3).abs() < 1e-9);
        let text = table(&rows);
        assert!(
            text.contains("below 2 s each                 2.00  MISSED"),
            "{text}"
        );
        assert!(
            text.contains("below 20 MB each               1.02  met"),
            "{text}"
        );
        assert!(
            text.contains("one of 10 against one of 1         1.33  met"),
            "{text}"
        );
    }

    #[test]
    fn half_a_measurement_is_none() {
        for printed in [
            "",
            "bare 1 1 1\n",
            "ours 1 1 1\n",
            "bare 1 1 1\nours 10 1 1\n",
            "only 1 of 2 run\n",
        ] {
            assert!(parse(printed).is_err(), "{printed:?}");
        }
    }
}
