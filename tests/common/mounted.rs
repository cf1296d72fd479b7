//! Runs tests that need real mounts. Where one cannot mount (no root, a container without the right), every one of
//! them is reported as ignored, by its name; libtest can only decide that when it is compiled, hence a runner of its
//! own. A test file that uses it has `harness = false` in Cargo.toml and this main:
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     common::mounted::run(mounted_tests![an_unplugged_disk_is_not_mounted, ...])
//! }
//! ```
//!
//! The whole test process has a mount table of its own (`unshare`): nobody else sees what the tests mount, other test
//! processes included, and even after a `kill -9` nothing stays mounted.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// A test: its name and its body.
pub(crate) type MountedTest = (&'static str, fn());

/// A test that is run for several cases, and needs programs that not every machine has.
pub(crate) struct CaseTest {
    /// `case::test`.
    pub(crate) name: String,
    /// Programs, and kinds of file system that the kernel has to know (`kernel:xfs`); a machine without one of them ignores
    /// the test.
    pub(crate) needs: &'static [&'static str],
    pub(crate) body: Box<dyn FnOnce() + Send>,
}

/// The named functions as tests.
macro_rules! mounted_tests {
    ($($name:ident),+ $(,)?) => { vec![$((stringify!($name), $name as fn())),+] };
}
pub(crate) use mounted_tests;

/// Says that a machine that cannot mount fails the tests, instead of ignoring them.
const MUST_MOUNT: &str = "SHELFLIST_TESTS_MUST_MOUNT";
/// Says to the second start that its mount table is its own already.
const OWN_TABLE: &str = "SHELFLIST_TEST_OWN_MOUNT_TABLE";

/// Runs the tests, as `cargo test` and nextest expect it.
pub(crate) fn run(tests: Vec<MountedTest>) -> ExitCode {
    run_with_cases(tests, Vec::new())
}

/// As [`run`], with tests that need more than mounts.
pub(crate) fn run_with_cases(tests: Vec<MountedTest>, cases: Vec<CaseTest>) -> ExitCode {
    if !is_set(OWN_TABLE) && rustix::process::geteuid().is_root() {
        start_again_with_own_table();
    }
    let can_mount = can_mount();
    let must_mount = is_set(MUST_MOUNT);
    let plain = tests.into_iter().map(|(name, body)| CaseTest {
        name: name.to_owned(),
        needs: &[],
        body: Box::new(body),
    });
    let mut trials: Vec<Trial> = plain
        .chain(cases)
        .map(|CaseTest { name, needs, body }| {
            let lacks = needs.iter().find(|needed| !has(needed));
            let body = move || {
                if !can_mount {
                    return Err(Failed::from("it needs to mount disks, and this user or machine cannot"));
                }
                if let Some(program) = lacks {
                    return Err(Failed::from(format!(
                        "it needs {program}, which this machine does not have"
                    )));
                }
                body();
                Ok(())
            };
            Trial::test(name, body).with_ignored_flag((!can_mount || lacks.is_some()) && !must_mount)
        })
        .collect();
    trials.push(Trial::test("continuous_integration_runs_what_needs_mounts", move || {
        // Ignored there, these tests would be ignored everywhere. They are not run as another user than root.
        let expected = must_mount || (is_set("CI") && rustix::process::geteuid().is_root());
        if expected && !can_mount {
            return Err(Failed::from("this machine should run what needs mounts, and cannot mount"));
        }
        Ok(())
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Becomes the same program in a mount namespace of its own. Comes back where that cannot be had.
fn start_again_with_own_table() {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "--"]);
        unshare
    };
    if unshare().arg("true").output().is_ok_and(|output| output.status.success()) {
        let this = std::env::current_exe().expect("a program knows where it is");
        let error = unshare().arg(this).args(std::env::args_os().skip(1)).env(OWN_TABLE, "1").exec();
        panic!("unshare worked once and then did not: {error}");
    }
}

/// Whether tests can mount here: as root, in a mount table of our own, loop devices and FUSE. Found out by doing it,
/// for in a container any of these may be there and forbidden.
pub(crate) fn can_mount() -> bool {
    if !is_set(OWN_TABLE) || !rustix::process::geteuid().is_root() {
        return false;
    }
    let Ok(dir) = tempfile::tempdir() else { return false };
    let image = dir.path().join("image");
    let has_image = std::fs::File::create(&image).and_then(|file| file.set_len(1024 * 1024)).is_ok();
    let succeeds = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    has_image
        && std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok()
        && succeeds(Command::new("mkfs.ext4").arg("-q").arg(&image))
        && succeeds(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(dir.path()))
        && succeeds(Command::new("umount").arg(dir.path()))
}

#[expect(clippy::disallowed_methods, reason = "where programs lie is no setting of the program")]
fn has(name: &str) -> bool {
    if let Some(fs_type) = name.strip_prefix("kernel:") {
        let knows = || {
            let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
            known.lines().any(|line| line.split_whitespace().next_back() == Some(fs_type))
        };
        return knows() || {
            let _ = Command::new("modprobe").arg("--quiet").arg(fs_type).output();
            knows()
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

#[expect(clippy::disallowed_methods, reason = "how a test is run is no setting of the program")]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}
