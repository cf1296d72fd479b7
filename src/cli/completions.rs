use clap::CommandFactory;
use clap_complete::Shell;

use super::context::Context;
use super::exit::{Exit, Failure};

/// Print the completions of a shell.
///
/// For instance: shelflist completions bash > ~/.local/share/bash-completion/completions/shelflist
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which shell.
    shell: Shell,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { shell } = args;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::Cli::command(), "shelflist", &mut script);
    context.out.write(&script)?;
    Ok(Exit::Done)
}
