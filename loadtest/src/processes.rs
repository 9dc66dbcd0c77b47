//! What the server's processes cost: CPU time and memory, by role, read from /proc. Postgres is a tree of processes,
//! so every role is measured with all descendants. It must never signal or change a process.

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use crate::Error;

/// The kernel counts CPU time for user space in hundredths of a second, on every architecture we know.
const TICKS_PER_SECOND: u64 = 100;
/// The role whose processes share much of their memory.
const POSTGRES: &str = "postgres";

/// Process ids by role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processes {
    roles: Vec<(String, Vec<u32>)>,
}

/// CPU time of a role in a span; `None` if one of its processes is another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// What the processes are.
    pub role: String,
    /// Since the first look.
    pub cpu: Option<Duration>,
}

/// Memory of a role, and how many processes have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What the processes are.
    pub role: String,
    /// Octets: resident, or, for Postgres, each process' share of what is resident.
    pub octets: u64,
    /// How many there are.
    pub processes: usize,
}

/// What is read of the local cluster's `cluster.env`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Addresses, as text.
    pub gateways: Vec<String>,
    /// Whatever runs.
    pub processes: Processes,
}

impl Cluster {
    /// Reads the file that the scripts of the local cluster write.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|cause| Error::System {
            what: format!("cannot read {}; ./deploy/local/up makes it", path.display()),
            cause,
        })?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let list = |name: &str| {
            let value = values.get(name).copied().unwrap_or_default();
            value.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>()
        };
        let mut roles = Vec::new();
        for (role, name) in [
            ("gateway", "PIDS_GATEWAY"),
            ("worker", "PIDS_WORKER"),
            (POSTGRES, "PID_POSTGRES"),
            ("redis", "PID_REDIS"),
            ("admin", "PID_ADMIN"),
        ] {
            let pids = list(name).into_iter().map(str::parse).collect::<Result<Vec<u32>, _>>();
            let pids = pids.map_err(|_| Error::Options(format!("{name} holds something else than ids")))?;
            if !pids.is_empty() {
                roles.push((role.to_owned(), pids));
            }
        }
        let gateways = list("GATEWAYS").into_iter().map(str::to_owned).collect();
        Ok(Self { gateways, processes: Processes { roles } })
    }
}

impl Processes {
    /// Some processes of which no more is known.
    pub fn given(pids: Vec<u32>) -> Self {
        if pids.is_empty() { Self::default() } else { Self { roles: vec![("given".to_owned(), pids)] } }
    }

    /// The first process, from whose path one can tell the build.
    pub(crate) fn any(&self) -> Option<u32> {
        self.roles.iter().flat_map(|(_, pids)| pids).next().copied()
    }
}

/// CPU ticks of each role so far, `None` if one of its processes is gone; to be compared by [`spent`].
pub(crate) struct Cpu(Vec<(String, Option<u64>)>);

/// What of /proc/PID/stat we need.
struct Stat {
    parent: u32,
    /// Of the process and of all descendants that it has buried.
    ticks: u64,
}

/// Fails unless all processes are there.
pub(crate) fn require(processes: &Processes) -> Result<(), Error> {
    let all = stats()?;
    processes.roles.iter().try_for_each(|(_, pids)| tree(&all, pids).map(drop))
}

/// Looks at the CPU time so far. A descendant that ends in between is counted by who buries it.
pub(crate) fn cpu(processes: &Processes) -> Result<Cpu, Error> {
    let all = stats()?;
    let ticks = |pids| {
        let tree = tree(&all, pids).ok()?;
        Some(tree.iter().filter_map(|pid| all.get(pid)).map(|stat| stat.ticks).sum())
    };
    Ok(Cpu(processes.roles.iter().map(|(role, pids)| (role.clone(), ticks(pids))).collect()))
}

/// The CPU time between two looks.
pub(crate) fn spent(before: &Cpu, after: &Cpu) -> Vec<Spent> {
    let pairs = before.0.iter().zip(&after.0);
    pairs
        .map(|((role, before), (_, after))| {
            let ticks = before.zip(*after).and_then(|(before, after)| after.checked_sub(before));
            let cpu = ticks.map(|ticks| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND));
            Spent { role: role.clone(), cpu }
        })
        .collect()
}

/// Looks at the memory that is resident now.
pub(crate) fn memory(processes: &Processes) -> Result<Vec<Held>, Error> {
    let all = stats()?;
    let mut roles = Vec::new();
    for (role, pids) in &processes.roles {
        let tree = tree(&all, pids)?;
        let mut octets = 0;
        for pid in &tree {
            // A descendant may have ended since; those named must be there.
            octets += match resident(*pid, role == POSTGRES) {
                Ok(octets) => octets,
                Err(cause) if pids.contains(pid) => return Err(Error::Process { pid: *pid, cause }),
                Err(_) => 0,
            };
        }
        roles.push(Held { role: role.clone(), octets, processes: tree.len() });
    }
    Ok(roles)
}

/// Octets. The share is right where processes share memory, but only their owner may see it.
fn resident(pid: u32, share: bool) -> io::Result<u64> {
    let (file, field) = if share { ("smaps_rollup", "Pss:") } else { ("status", "VmRSS:") };
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map(|kibibytes| kibibytes * 1_024).ok_or_else(|| io::Error::other(format!("no {field} there")))
}

/// All processes of the machine.
fn stats() -> Result<BTreeMap<u32, Stat>, Error> {
    let problem = |cause| Error::System { what: "cannot read /proc".into(), cause };
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").map_err(problem)? {
        let Some(pid) = entry.map_err(problem)?.file_name().to_str().and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Processes come and go while we look.
        let Ok(text) = fs::read(format!("/proc/{pid}/stat")) else { continue };
        if let Some(stat) = parse_stat(&String::from_utf8_lossy(&text)) {
            all.insert(pid, stat);
        }
    }
    Ok(all)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name before is in brackets, and may hold anything, brackets included.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // User and system time of the process, and of the children that it has waited for.
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}

/// The processes and all their descendants; fails if one of the former is not there.
fn tree(all: &BTreeMap<u32, Stat>, pids: &[u32]) -> Result<Vec<u32>, Error> {
    if let Some(pid) = pids.iter().find(|pid| !all.contains_key(pid)) {
        return Err(Error::Process { pid: *pid, cause: io::ErrorKind::NotFound.into() });
    }
    let mut found = pids.to_vec();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        let children = all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid);
        let new: Vec<u32> = children.filter(|pid| !found.contains(pid)).collect();
        found.extend(new);
        at += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, process::Command, time::Instant};

    use super::*;

    /// Goal: the cluster's own file is understood, with gaps for what does not run; method: parse one.
    #[test]
    fn cluster_files() {
        let text = "GATEWAYS=127.0.0.1:1,127.0.0.1:2\nADMIN_URL=http://x/?a=b\nPIDS_GATEWAY=11,\nPIDS_WORKER=21,22\n\
                    PID_ADMIN=\nPID_POSTGRES=31\nPID_REDIS=41\n";
        let cluster = Cluster::parse(text).unwrap();
        assert_eq!(cluster.gateways, ["127.0.0.1:1", "127.0.0.1:2"]);
        let roles: Vec<_> =
            cluster.processes.roles.iter().map(|(role, pids)| (role.as_str(), pids.clone())).collect();
        assert_eq!(
            roles,
            [("gateway", vec![11]), ("worker", vec![21, 22]), ("postgres", vec![31]), ("redis", vec![41])]
        );
        assert!(Cluster::parse("PID_REDIS=x").is_err());
    }

    /// Goal: names cannot confuse the fields; method: a line as the kernel writes it, with an odd name.
    #[test]
    fn stat_lines() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 100 0 0";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 260));
        assert!(parse_stat("7 (x) S 3").is_none());
    }

    /// Goal: what a process burns is seen; method: burn until it is, in this very process.
    #[test]
    fn cpu_time_is_seen() {
        let processes = Processes::given(vec![std::process::id()]);
        let before = cpu(&processes).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let after = cpu(&processes).unwrap();
            if spent(&before, &after)[0].cpu.unwrap() >= Duration::from_millis(50) {
                break;
            }
            assert!(Instant::now() < deadline, "no CPU time was seen");
            (0..1_000_000_u64).for_each(|n| assert_ne!(black_box(n), u64::MAX));
        }
        assert!(memory(&processes).unwrap()[0].octets > 100_000);
    }

    /// Goal: descendants count, and processes that are not there are named; method: a child that waits for us.
    #[test]
    fn trees() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let found = tree(&stats().unwrap(), &[std::process::id()]).unwrap();
        assert!(found.contains(&child.id()), "{found:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        let gone = Processes::given(vec![u32::MAX]);
        let error = require(&gone).unwrap_err();
        assert!(matches!(error, Error::Process { pid: u32::MAX, .. }), "{error}");
        let looks = (cpu(&gone).unwrap(), cpu(&gone).unwrap());
        assert_eq!(spent(&looks.0, &looks.1)[0].cpu, None);
    }
}
