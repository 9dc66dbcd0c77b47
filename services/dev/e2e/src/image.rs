//! The programs as the container image has them: all in one folder and nothing beside them, run by an account that owns
//! nothing but the folder for volumes, with no capability, and with nothing else that it may write to. What they are given
//! (certificates, secrets) they may read.
//!
//! Only root can run programs as somebody else. Without it they run as whoever tests, from folders that nobody may write
//! to; what they open for writing is looked at either way.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

use crate::binaries;

/// An account that no machine knows. Not the image's own number, so that whatever else runs as that is not looked at.
const ACCOUNT: u32 = 54_321;
/// Where the image has its programs.
const PROGRAMS_IN: &str = "usr/local/bin";
/// Where volumes are put, the one place that may be written to.
const VOLUMES_IN: &str = "var/lib/postern";

/// Runs a program as somebody else. By its path, because the variable in which programs are looked for may be the image's.
pub(crate) const SETPRIV: &str = "/usr/bin/setpriv";

/// All programs of the image.
pub const PROGRAMS: [&str; 4] = ["tmtp-gateway", "tmtp-worker", "tmtp-admin", "tmtpctl"];

/// A folder that looks like the image.
#[derive(Debug)]
pub struct Image {
    root: PathBuf,
    other_account: bool,
}

impl Image {
    /// Lays the programs out below `folder`, which others may then look into.
    pub(crate) fn lay_out(folder: &Path) -> Result<Self> {
        fs::set_permissions(folder, Permissions::from_mode(0o711)).context("let others in")?;
        let root = folder.join("image");
        let place = root.join(PROGRAMS_IN);
        fs::create_dir_all(&place).context("make the image's folders")?;
        for program in PROGRAMS {
            let (from, to) = (binaries::find(program)?, place.join(program));
            // A link where it can be one: debug builds are large.
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
            }
        }
        let volumes = root.join(VOLUMES_IN);
        fs::create_dir_all(&volumes).context("make the folder for volumes")?;
        let image = Self { root, other_account: geteuid().is_root() };
        if image.other_account {
            chown(&volumes, Some(ACCOUNT), Some(ACCOUNT)).context("give the folder for volumes away")?;
        }
        fs::set_permissions(&volumes, Permissions::from_mode(0o750)).context("close the volumes")?;
        for folder in image.folders() {
            fs::set_permissions(folder, Permissions::from_mode(0o555)).context("close the image")?;
        }
        Ok(image)
    }

    /// Whether programs run as another account than the test.
    pub fn has_other_account(&self) -> bool {
        self.other_account
    }

    /// How the image's program of this name is run: as the container's only process, without an environment.
    pub fn command(&self, program: &str) -> Command {
        let binary = self.binary(program);
        let mut command = if self.other_account {
            let mut command = Command::new(SETPRIV);
            command.args(as_account(ACCOUNT, ACCOUNT, None)).arg(binary);
            command
        } else {
            Command::new(binary)
        };
        command.env_clear().current_dir(&self.root);
        command
    }

    /// Where a program of the image is.
    pub fn binary(&self, program: &str) -> PathBuf {
        self.root.join(PROGRAMS_IN).join(program)
    }

    /// Where its volumes are.
    pub fn volumes(&self) -> PathBuf {
        self.root.join(VOLUMES_IN)
    }

    /// All folders that nobody may write to.
    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let volumes = self.volumes();
        let all = [self.root.join(PROGRAMS_IN), volumes.parent().unwrap_or(&volumes).to_owned()];
        let root = self.root.clone();
        all.into_iter().flat_map(move |folder| {
            let within = folder.ancestors().take_while(|part| part.starts_with(&root));
            within.map(Path::to_owned).collect::<Vec<_>>()
        })
    }

    /// Lets the image's account read a file, and nobody else who could not before.
    pub fn give(&self, path: &Path) -> Result<()> {
        if self.other_account {
            chown(path, Some(ACCOUNT), Some(ACCOUNT)).context("give a file away")?;
        }
        fs::set_permissions(path, Permissions::from_mode(0o400)).context("close a file")
    }

    /// Checks that the process is what the image's should be: this program, as the account of the image, with nothing
    /// that it could do more, and with no file open for writing but the one that takes its log.
    ///
    /// # Errors
    /// With what is different.
    pub fn check(&self, pid: i32, program: &str, log: &Path) -> Result<()> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let running = fs::read_link(process.join("exe")).context("look what runs")?;
        ensure!(running == self.binary(program), "{} runs", running.display());
        if self.other_account {
            check_account(pid, ACCOUNT, None)?;
        }
        for written in open_for_writing(&process)? {
            ensure!(written == log, "{} has {} open for writing", process.display(), written.display());
        }
        Ok(())
    }

    /// What the image's account has left in the folders that everybody may write to.
    pub fn litter(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if self.other_account {
            for folder in ["/tmp", "/var/tmp", "/dev/shm", "/run"] {
                owned_below(Path::new(folder), &mut found);
            }
        }
        found.retain(|path| !path.starts_with(&self.root));
        found
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // So that who is not root can remove it.
        for folder in self.folders() {
            let _ = fs::set_permissions(folder, Permissions::from_mode(0o755));
        }
    }
}

/// What [`SETPRIV`] is told to run a program as an account, in no group but these, without any capability, and without a way
/// to any; the program comes next.
pub(crate) fn as_account(account: u32, group: u32, other_group: Option<u32>) -> Vec<String> {
    let groups = other_group.map_or("--clear-groups".to_owned(), |other| format!("--groups={other}"));
    let ids = [format!("--reuid={account}"), format!("--regid={group}"), groups];
    let rights = ["--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"];
    ids.into_iter().chain(rights.map(str::to_owned)).collect()
}

/// Checks that a process runs as an account whose group has the same number, in no other group but this one, without any
/// capability, and without a way to any.
pub(crate) fn check_account(pid: i32, account: u32, group: Option<u32>) -> Result<()> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("look who runs it")?;
    let has = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    for name in ["Uid:", "Gid:"] {
        let ids = has(name).context("no ids")?;
        ensure!(ids.split_whitespace().all(|id| id == account.to_string()), "{name} {ids}");
    }
    let groups = has("Groups:").context("no groups")?;
    ensure!(groups == group.map(|group| group.to_string()).unwrap_or_default(), "Groups: {groups}");
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        let set = has(name).with_context(|| format!("no {name}"))?;
        ensure!(set.chars().all(|digit| digit == '0'), "{name} {set}");
    }
    ensure!(has("NoNewPrivs:") == Some("1"), "it could get new privileges");
    Ok(())
}

/// The files of the file system that a process has open for writing.
fn open_for_writing(process: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(process.join("fd")).context("look what is open")? {
        let entry = entry.context("look what is open")?;
        // One that has been closed since is of no interest.
        let Ok(path) = fs::read_link(entry.path()) else { continue };
        let info = process.join("fdinfo").join(entry.file_name());
        let Ok(info) = fs::read_to_string(info) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
        let flags = u32::from_str_radix(flags.context("no flags")?, 8).context("flags are octal")?;
        // The two lowest bits: 0 is for reading only. Sockets, pipes and the like have names that are no paths.
        if flags & 3 != 0 && path.is_absolute() && !path.starts_with("/dev") {
            found.push(path);
        }
    }
    Ok(found)
}

fn owned_below(folder: &Path, found: &mut Vec<PathBuf>) {
    // What vanishes meanwhile, or lets nobody in, was not left by the image's account.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
        if metadata.is_dir() {
            owned_below(&path, found);
        }
        if metadata.uid() == ACCOUNT && metadata.mode() & 0o777 != 0o400 {
            found.push(path);
        }
    }
}
