//! Points where a test cuts the power.

/// Ends the process at once, as a power cut would, where a test has armed the point (`FAILPOINTS=name=return`). Without
/// the feature `failpoints` this is nothing.
pub(crate) fn point(name: &str) {
    // No destructors, no exit handlers, no core file: what is not on the disk by now is lost.
    fail::fail_point!(name, |_| {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
    let _ = name;
}
