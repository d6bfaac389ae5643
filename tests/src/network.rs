//! Network namespaces, one per node, on one bridge: nodes can be cut off from each other in either
//! direction, and the host, with load source and receivers, still reaches them all.
//!
//! Everything is named after this process and removed with it; what a killed process left behind
//! is removed by the next one.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

const PREFIX: &str = "cvy";
const HOST: u8 = 254;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A bridge and the namespaces on it; removed when dropped.
#[derive(Debug)]
pub struct Network {
    /// `cvy<process>x<number>`; interface names have at most 15 characters.
    name: String,
    base: [u8; 3],
    spaces: u8,
    cuts: Vec<(u8, u8)>,
}

impl Network {
    /// Says why namespaces cannot be used here.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn available() -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        for tool in ["ip", "nft"] {
            let found = Command::new(tool).arg("-V").output().is_ok_and(|out| out.status.success());
            if !found {
                return Err(format!("the program {tool} is missing"));
            }
        }
        // A sandbox may forbid it even to root.
        let probe = format!("{PREFIX}{}p", std::process::id());
        ip(&["netns", "add", &probe]).map_err(|error| format!("no namespaces here: {error:#}"))?;
        let rules = in_space(&probe, &["nft", "list", "ruleset"]);
        ip(&["netns", "del", &probe]).map_err(|error| format!("{error:#}"))?;
        rules.map_err(|error| format!("no packet filter here: {error:#}"))
    }

    /// A bridge on a free network.
    ///
    /// # Errors
    ///
    /// When the bridge cannot be made.
    pub fn new() -> Result<Self> {
        sweep();
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("{PREFIX}{}x{number}", std::process::id());
        let base = free_base()?;
        let network = Self { name, base, spaces: 0, cuts: Vec::new() };
        let bridge = network.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        let address = format!("{}/24", network.host());
        ip(&["addr", "add", &address, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        Ok(network)
    }

    fn bridge(&self) -> String {
        format!("{}b", self.name)
    }

    fn space(&self, node: u8) -> String {
        format!("{}n{node}", self.name)
    }

    fn on(&self, last: u8) -> IpAddr {
        let [a, b, c] = self.base;
        IpAddr::V4(Ipv4Addr::new(a, b, c, last))
    }

    /// Where load source and receivers are.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        self.on(HOST)
    }

    /// Address of a node, by its number from 0.
    #[must_use]
    pub fn address(&self, node: u8) -> IpAddr {
        self.on(node + 1)
    }

    /// The node with this address.
    #[must_use]
    pub fn node_at(&self, address: IpAddr) -> Option<u8> {
        (0..self.spaces).find(|node| self.address(*node) == address)
    }

    /// Words before a command that make it run in a node's namespace.
    #[must_use]
    pub fn before(&self, node: u8) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(node)].map(str::to_owned).to_vec()
    }

    /// Makes the namespaces up to this node.
    ///
    /// # Errors
    ///
    /// When one cannot be made.
    pub fn grow(&mut self, node: u8) -> Result<()> {
        while self.spaces <= node {
            self.add(self.spaces)?;
            self.spaces += 1;
        }
        Ok(())
    }

    fn add(&self, node: u8) -> Result<()> {
        let (space, bridge) = (self.space(node), self.bridge());
        let outside = format!("{}v{node}", self.name);
        ip(&["netns", "add", &space])?;
        let pair = ["peer", "name", "eth0", "netns", &space];
        ip(&[&["link", "add", &outside, "type", "veth"], &pair[..]].concat())?;
        ip(&["link", "set", &outside, "master", &bridge, "up"])?;
        let address = format!("{}/24", self.address(node));
        for words in [
            &["addr", "add", &address, "dev", "eth0"][..],
            &["link", "set", "eth0", "up"],
            &["link", "set", "lo", "up"],
        ] {
            ip(&[&["-n", &space], words].concat())?;
        }
        Ok(())
    }

    /// Packets from node `from` no longer reach node `to`. The other direction stays open.
    ///
    /// # Errors
    ///
    /// When the packet filter refuses the rule.
    pub fn cut(&mut self, from: u8, to: u8) -> Result<()> {
        self.cuts.push((from, to));
        self.filter(to)
    }

    /// Cuts both directions between every node of `one` and every node of `other`.
    ///
    /// # Errors
    ///
    /// As [`Network::cut`].
    pub fn part(&mut self, one: &[u8], other: &[u8]) -> Result<()> {
        for &a in one {
            for &b in other {
                self.cut(a, b)?;
                self.cut(b, a)?;
            }
        }
        Ok(())
    }

    /// Every node reaches every other again.
    ///
    /// # Errors
    ///
    /// When the packet filter refuses.
    pub fn heal(&mut self) -> Result<()> {
        let mut concerned: Vec<u8> = self.cuts.drain(..).map(|(_, to)| to).collect();
        concerned.sort_unstable();
        concerned.dedup();
        concerned.into_iter().try_for_each(|node| self.filter(node))
    }

    /// Sets the rules of a node's namespace as the cuts say.
    fn filter(&self, node: u8) -> Result<()> {
        let from = self.cuts.iter().filter(|(_, to)| *to == node).map(|(from, _)| *from);
        let rules: String =
            from.map(|from| format!("ip saddr {} drop; ", self.address(from))).collect();
        let chain = "type filter hook input priority 0; policy accept;";
        let text = format!(
            "table inet chaos {{}}; flush table inet chaos; delete table inet chaos; \
             table inet chaos {{ chain input {{ {chain} {rules} }} }}"
        );
        in_space(&self.space(node), &["nft", &text])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..=self.spaces {
            // A namespace that was never made cannot be removed.
            let _ = ip(&["netns", "del", &self.space(node)]);
        }
        let _ = ip(&["link", "del", &self.bridge()]);
    }
}

/// Removes what processes left behind that are gone.
pub fn sweep() {
    let spaces = std::fs::read_dir("/run/netns").into_iter().flatten();
    let links = std::fs::read_dir("/sys/class/net").into_iter().flatten();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.ok().map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    for space in spaces.filter_map(name).filter(|name| is_orphan(name)) {
        let _ = ip(&["netns", "del", &space]);
    }
    for link in links.filter_map(name).filter(|name| is_orphan(name)) {
        let _ = ip(&["link", "del", &link]);
    }
}

/// Is this the name of something whose process is gone?
fn is_orphan(name: &str) -> bool {
    let digits: String = name
        .strip_prefix(PREFIX)
        .unwrap_or_default()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    !digits.is_empty() && !Path::new("/proc").join(digits).exists()
}

/// The first three numbers of a network that no interface and no route has.
fn free_base() -> Result<[u8; 3]> {
    let output = Command::new("ip").args(["-4", "route", "show", "table", "all"]).output()?;
    let routes = String::from_utf8_lossy(&output.stdout).into_owned();
    let random: u16 = rand::random();
    (0..=u16::MAX)
        .map(|n| n.wrapping_add(random).to_be_bytes())
        .map(|[b, c]| [10, b, c])
        .find(|[a, b, c]| !routes.contains(&format!("{a}.{b}.{c}.")))
        .context("no free network in 10.0.0.0/8")
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

fn in_space(space: &str, command: &[&str]) -> Result<()> {
    run("ip", &[&["netns", "exec", space], command].concat())
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().context(program.to_owned())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {errors}", arguments.join(" "));
    Ok(())
}
