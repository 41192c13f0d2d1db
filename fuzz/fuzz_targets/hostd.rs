//! Any bytes as a line to the root helper and as its answer: the readers never panic, what they take keeps to
//! the rules, and it is read the same again.
#![no_main]

use colibri_host::{ExecJail, Request, answer_from_line, answer_to_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Request::from_line(bytes) {
        Ok(request) => {
            if let Some(tenant) = request.tenant() {
                let text = tenant.as_str();
                assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
            }
            if let Request::ExecJail(exec) = &request {
                assert!(exec.env.iter().all(|(name, _)| ExecJail::takes(name)));
                let texts = exec.args.iter().chain(exec.env.iter().map(|(_, value)| value));
                assert!(texts.clone().all(|text| !text.contains('\0')));
            }
            if let Ok(line) = request.to_line() {
                assert_eq!(Request::from_line(&line).unwrap(), request);
            }
        }
        Err(error) => assert!(!error.message.is_empty()),
    }
    if let Ok(answer) = answer_from_line(bytes) {
        assert_eq!(answer_from_line(&answer_to_line(&answer)).unwrap(), answer);
    }
});
