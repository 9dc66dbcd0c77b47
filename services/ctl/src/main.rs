//! `tmtpctl`: operates a Postern cluster, and speaks TMTP by hand with any server.
//!
//! Exit codes: 0 when it did what was asked, 1 when it could not, 2 for a wrong command line. It must never print
//! the database's password, and never write a password into a file that others can read.

mod api;
mod audit;
mod bootstrap;
mod certificate;
mod cluster;
mod conform;
mod credentials;
mod database;
mod delivery;
mod demo;
mod hand;
mod invite;
mod key;
mod member;
mod migrate;
mod policy;
mod provider;
mod server;
mod site;
mod table;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "tmtpctl", version, about = "Operates a Postern cluster, and speaks TMTP by hand")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the database to the schema of this release; harmless when it is there already
    Migrate(migrate::Migrate),
    /// Make what has to be there before the admin API can be used, directly in the database
    #[command(subcommand)]
    Bootstrap(bootstrap::Bootstrap),
    /// Make, list and change sites
    Site(site::Site),
    /// Show and change what a site allows its members
    Policy(policy::Policy),
    /// Make, list, resend and revoke invites
    Invite(invite::Invite),
    /// List, change and erase members
    Member(member::Member),
    /// Make, try out and remove OpenID Connect providers
    Provider(provider::Provider),
    /// Make, list and revoke keys to the admin API
    Key(key::Key),
    /// Show gateways and workers, and drain gateways
    Cluster(cluster::Cluster),
    /// Show who changed what
    Audit(audit::Audit),
    /// Make a self-signed certificate, for local runs
    Certificate(certificate::Certificate),
    /// Show on a running cluster what it does: two people, three devices, two gateways, one attachment
    Demo(demo::Demo),
    /// Check a deployment: two new accounts exchange messages, and are erased; exit code 1 if they cannot
    CheckDelivery(delivery::CheckDelivery),
    /// Test any TMTP server against the protocol: a line for each case, and exit code 1 if one fails
    Conform(conform::Conform),
    /// Make a new user at a server
    Register(hand::Register),
    /// Try whether a device can log in, and see who is online
    Login(hand::Login),
    /// Send a text or a file
    Send(hand::Send),
    /// Receive messages, print them, and acknowledge them: the server forgets them then
    Listen(hand::Listen),
    /// Add a device to a user, and print its password
    #[command(name = "newnode")]
    NewNode(hand::NewNode),
    /// Add an alias to a user
    #[command(name = "newalias")]
    NewAlias(hand::NewAlias),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // A wrong command line ends here, with 2.
    let cli = Cli::parse();
    match run(cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Migrate(migrate) => migrate.run().await,
        Command::Bootstrap(bootstrap) => bootstrap.run().await,
        Command::Site(site) => site.run().await,
        Command::Policy(policy) => policy.run().await,
        Command::Invite(invite) => Box::pin(invite.run()).await,
        Command::Member(member) => Box::pin(member.run()).await,
        Command::Provider(provider) => Box::pin(provider.run()).await,
        Command::Cluster(cluster) => cluster.run().await,
        Command::Key(key) => key.run().await,
        Command::Audit(audit) => audit.run().await,
        Command::Certificate(certificate) => certificate.run(),
        Command::Demo(demo) => Box::pin(demo.run()).await,
        Command::CheckDelivery(check) => Box::pin(check.run()).await,
        Command::Conform(conform) => Box::pin(conform.run()).await,
        Command::Register(register) => register.run().await,
        Command::Login(login) => login.run().await,
        Command::Send(send) => send.run().await,
        Command::Listen(listen) => listen.run().await,
        Command::NewNode(new_node) => new_node.run().await,
        Command::NewAlias(new_alias) => new_alias.run().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    /// Goal: the command line is free of contradictions; method: clap's own check, which panics on them.
    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Goal: what the scripts of the local cluster and the chart call is understood; method: parse their lines.
    #[test]
    fn the_scripts_lines_are_understood() {
        for line in [
            "tmtpctl migrate --database-url postgres://u:p@127.0.0.1:1/d",
            "tmtpctl bootstrap site --database-url postgres://h/d --name N --domain a --domain b --registration open --if-missing",
            "tmtpctl bootstrap key --database-url postgres://h/d --name first --if-missing --save f",
            "tmtpctl bootstrap site --database-url postgres://h/d --name N --domain a --registration invite --if-absent",
            "tmtpctl bootstrap key --database-url postgres://h/d --key-file f",
            "tmtpctl bootstrap key --database-url postgres://h/d --key-file f --name first",
            "tmtpctl certificate --out tls --name default --domain localhost --domain *.postern.test --domain 127.0.0.1",
            "tmtpctl demo --gateways 127.0.0.1:1,127.0.0.1:2 --database-url postgres://h/d",
            "tmtpctl migrate --database-url postgres://h/d --wait 300 --shards 64",
            "tmtpctl bootstrap site --database-url postgres://h/d --if-unclaimed --name N --domain a --registration invite",
            "tmtpctl bootstrap key --database-url postgres://h/d --name operator --key-file f",
            "tmtpctl check-delivery --api http://h:1 --token-file f --server h:443 --domain d.r.invalid --insecure",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    /// Goal: nobody skips the certificate check without saying so, and a device is named in one way only; method:
    /// parse lines that say too little or too much.
    #[test]
    fn vague_lines_are_refused() {
        for line in [
            "tmtpctl listen --server h:1 --credentials f",
            "tmtpctl listen --server h:1 --credentials f --insecure --ca g",
            "tmtpctl listen --server h:1 --insecure",
            "tmtpctl listen --server h:1 --insecure --uid U",
            "tmtpctl listen --server h:1 --insecure --uid U --node N --credentials f",
            "tmtpctl send --server h:1 --insecure --credentials f --to U",
            "tmtpctl send --server h:1 --insecure --credentials f --to U --text a --file b",
            "tmtpctl migrate --database-url postgres://h/d --shards 0",
            "tmtpctl bootstrap site --database-url postgres://h/d --name N --domain a --registration maybe",
            "tmtpctl bootstrap key --database-url postgres://h/d",
            "tmtpctl bootstrap key --database-url postgres://h/d --key-file f --save g",
            "tmtpctl bootstrap key --database-url postgres://h/d --key-file f --if-missing",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("tmtpctl listen --server h:1 --insecure --uid U --node N").is_ok());
    }
}
