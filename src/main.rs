//! The binary: parse, run, exit code.

fn main() -> std::io::Result<()> {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "__extract") {
        return shelflist::enrich::child_main();
    }
    Ok(())
}
