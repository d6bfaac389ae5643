//! What `deploy/` offers can be used: configurations are accepted, parts fit together, scripts do
//! what they say.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use convoy_tests::certificates::Authority;
use convoy_tests::node::{eventually, program};
use convoy_tests::programs::{free_port, run, try_run};
use tempfile::TempDir;
use tokio::process::{Child, Command};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Checks a configuration as an operator does: one file, or a node's and the shared one.
async fn accepted(path: &Path, shared: Option<&Path>) -> Result<()> {
    let (mtad, path, shared) = (shown(&program("mtad")), shown(path), shared.map(shown));
    let mut arguments = vec!["--check-config", &path];
    if let Some(shared) = &shared {
        arguments.extend(["--shared", shared]);
    }
    let (good, said) = try_run(&mtad, &arguments).await?;
    ensure!(good, "{said}");
    // Containers log to where their log is collected.
    let doubt = |line: &&str| line.contains("warning: ") && !line.contains("no log-file");
    ensure!(said.lines().find(doubt).is_none(), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_configuration_of_one_node_is_accepted() -> Result<()> {
    let directory = TempDir::new()?;
    let path = directory.path().join("config");
    let certificate = directory.path().join("smtp-cert.pem");
    Authority::new("test")?.issue(&["localhost.localdomain"])?.write(&certificate)?;
    let text = std::fs::read_to_string(deploy().join("sample/config"))?;
    std::fs::write(&path, text.replace("smtp-cert.pem", &shown(&certificate)))?;
    accepted(&path, None).await
}

#[tokio::test]
async fn configurations_of_clusters_are_accepted() -> Result<()> {
    let directory = TempDir::new()?;
    let certificate = directory.path().join("mail.pem");
    Authority::new("test")?.issue(&["mx1.example.com"])?.write(&certificate)?;
    for of in ["sample/cluster", "compose", "kubernetes"] {
        let node = std::fs::read_to_string(deploy().join(of).join("node.conf"))?
            .replace("@HOST@", "mx1.example.com")
            .replace("/etc/convoy/mail.pem", &shown(&certificate));
        let path = directory.path().join("node.conf");
        std::fs::write(&path, node)?;
        accepted(&path, Some(&deploy().join(of).join("cluster.conf"))).await?;
        // It starts with its own file alone, before it knows what the others share.
        accepted(&path, None).await?;
    }
    Ok(())
}

#[tokio::test]
async fn haproxy_accepts_its_configurations() -> Result<()> {
    for path in ["haproxy/haproxy.cfg", "compose/haproxy.cfg"] {
        run("haproxy", &["-c", "-f", &shown(&deploy().join(path))]).await?;
    }
    Ok(())
}

/// Debian's Python, for Debian's YAML: another one may come first in the path.
#[tokio::test]
async fn the_parts_fit_together() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deployment.py");
    run("/usr/bin/python3", &[&shown(&script), &shown(&deploy())]).await?;
    Ok(())
}

#[tokio::test]
async fn scripts_can_be_read_by_a_plain_shell() -> Result<()> {
    for path in ["container/convoy-start", "container/convoy-found", "kubernetes/found.sh"] {
        let path = deploy().join(path);
        run("dash", &["-n", &shown(&path)]).await?;
        let mode = std::fs::metadata(&path)?.permissions().mode();
        ensure!(mode & 0o111 == 0o111, "{} cannot be executed", path.display());
    }
    Ok(())
}

/// A container for `convoy-start`: an `mtad` that tells its arguments and its token, and an
/// `mtactl` that gives one for peers whose name begins with `good`.
struct Container(TempDir);

impl Container {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        let at = |name: &str| directory.path().join(name);
        for name in ["bin", "spool", "run"] {
            std::fs::create_dir(at(name))?;
        }
        let mtad = "#!/bin/sh\nshift 2\necho \"$@\" $MTAD_TOKEN\n";
        let mtactl = "#!/bin/sh\ncase $3 in\n\
            good*) echo '{ \"status\": \"success\",\n \"data\": {\"token\": \"cj1-a_B-9\"}}';;\n\
            *) echo 'cannot be reached'; exit 3;;\nesac\n";
        for (name, text) in [("mtad", mtad), ("mtactl", mtactl)] {
            let path = at("bin").join(name);
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        std::fs::write(at("config"), "host-name @HOST@\ncluster-address @HOST@:2526\n")?;
        Ok(Self(directory))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn is_member(&self) -> Result<()> {
        std::fs::create_dir_all(self.at("spool/cluster"))?;
        Ok(std::fs::write(self.at("spool/cluster/identity.json"), "{}")?)
    }

    fn has_credentials(&self) -> Result<()> {
        Ok(std::fs::write(self.at("credentials"), "secret")?)
    }

    /// Starts the node `me`; gives the arguments of `mtad` besides its configuration, and its
    /// token.
    async fn start(&self, me: &str, peers: &str, founder: &str) -> Result<String> {
        let output = Command::new(deploy().join("container/convoy-start"))
            .env("PATH", format!("{}:/usr/bin:/bin", shown(&self.at("bin"))))
            .env("CONVOY_CONFIG", self.at("config"))
            .env("CONVOY_HOST", me)
            .env("CONVOY_SPOOL", self.at("spool"))
            .env("CONVOY_RUN", self.at("run"))
            .env("CONVOY_CREDENTIALS", self.at("credentials"))
            .env("CONVOY_PEERS", peers)
            .env("CONVOY_FOUNDER", founder)
            .env_remove("MTAD_TOKEN")
            .stdin(Stdio::null())
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{said}");
        let config = std::fs::read_to_string(self.at("run/config"))?;
        ensure!(config == format!("host-name {me}\ncluster-address {me}:2526\n"), "{config}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

#[tokio::test]
async fn a_container_starts_as_what_it_is() -> Result<()> {
    let peers = "good1:2526 down:2526 good2:2526";
    let joins_by_2 = "--join good2:2526 cj1-a_B-9";
    let joins_by_1 = "--join good1:2526 cj1-a_B-9";
    for (member, credentials, me, founder, peers, expected) in [
        (false, false, "good1", "yes", peers, ""),
        (false, true, "good1", "yes", peers, joins_by_2),
        (false, true, "down", "no", peers, joins_by_1),
        (false, true, "good2", "no", "down:2526 good2:2526 good1:2526", joins_by_1),
        (true, true, "good1", "yes", peers, ""),
        (true, false, "down", "no", peers, ""),
        (false, false, "single", "no", "", ""),
    ] {
        let container = Container::new()?;
        if member {
            container.is_member()?;
        }
        if credentials {
            container.has_credentials()?;
        }
        let arguments = container.start(me, peers, founder).await?;
        ensure!(arguments == expected, "{me} of {peers}, {member} {credentials}: {arguments}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_waits_until_there_is_a_cluster() -> Result<()> {
    let container = Container::new()?;
    let starting = container.start("node", "good1:2526", "no");
    let founding = async {
        // Whether it waits already makes no difference to what it does.
        tokio::task::yield_now().await;
        container.has_credentials()
    };
    let (arguments, founded) = tokio::join!(starting, founding);
    founded?;
    ensure!(arguments? == "--join good1:2526 cj1-a_B-9");
    Ok(())
}

/// Three containers as far as the scripts can tell, on addresses of their own of this machine.
struct Site {
    directory: TempDir,
    port: u16,
}

const HOSTS: [&str; 3] = ["127.0.0.41", "127.0.0.42", "127.0.0.43"];

impl Site {
    fn new() -> Result<Self> {
        let site = Self { directory: TempDir::new()?, port: free_port()? };
        let here = shown(site.directory.path());
        let port = site.port;
        let config = format!(
            "host-name mta.example\nspool {here}/@HOST@/spool\nlog-file {here}/@HOST@/mtad.log\n\
             admin-socket {here}/@HOST@/mtad.sock\nsmtp-listener 127.0.0.1:0\n\
             cluster-listener @HOST@:{port}\ncluster-address @HOST@:{port}\n"
        );
        std::fs::write(site.at("config"), config)?;
        let shared = "<domain *>\n max-smtp-out 7\n</domain>\n";
        std::fs::write(site.at("cluster.conf"), shared)?;
        Ok(site)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn script(&self, name: &str, host: &str) -> Command {
        let programs = program("mtad").parent().map(shown).unwrap_or_default();
        let peers = HOSTS.map(|host| format!("{host}:{}", self.port)).join(" ");
        let founder = if host == HOSTS[0] { "yes" } else { "no" };
        let mut command = Command::new(deploy().join("container").join(name));
        command
            .env("PATH", format!("{programs}:/usr/bin:/bin"))
            .env("CONVOY_CONFIG", self.at("config"))
            .env("CONVOY_HOST", host)
            .env("CONVOY_SPOOL", self.at(host).join("spool"))
            .env("CONVOY_RUN", self.at(host))
            .env("CONVOY_CREDENTIALS", self.at("credentials.pem"))
            .env("CONVOY_SHARED", self.at("cluster.conf"))
            .env("CONVOY_PEERS", peers)
            .env("CONVOY_FOUNDER", founder)
            .env("MTACTL_SOCKET", self.at(host).join("mtad.sock"))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts a node; it may have to wait for the others.
    fn start(&self, host: &str) -> Result<Child> {
        std::fs::create_dir_all(self.at(host))?;
        let output = std::fs::File::create(self.at(host).join("output"))?;
        let mut command = self.script("convoy-start", host);
        Ok(command.stdout(output.try_clone()?).stderr(output).spawn()?)
    }

    async fn ready(&self, host: &str) -> Result<()> {
        let output = || std::fs::read_to_string(self.at(host).join("output")).unwrap_or_default();
        let ready = async || output().contains("mtad: ready").then_some(());
        eventually("a node", ready).await.with_context(|| format!("{host}:\n{}", output()))
    }

    async fn found(&self) -> Result<()> {
        let output = self.script("convoy-found", HOSTS[0]).output().await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{said}");
        Ok(())
    }

    /// Waits until the node runs with the configuration that was pushed.
    async fn shares(&self, host: &str) -> Result<()> {
        let (mtactl, socket) = (shown(&program("mtactl")), shown(&self.at(host).join("mtad.sock")));
        let ask = ["--socket", &socket, "show", "settings", "x.example"];
        let limit = async || {
            let (_, said) = try_run(&mtactl, &ask).await.ok()?;
            let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let limited =
                |line: &str| words(line).starts_with(&["max-smtp-out".into(), "7".into()]);
            said.lines().any(limited).then_some(())
        };
        eventually("the shared configuration", limit).await.with_context(|| host.to_owned())
    }

    /// The number by which the cluster knows this node.
    fn number(&self, host: &str) -> Result<u64> {
        let path = self.at(host).join("spool/cluster/identity.json");
        let text = std::fs::read_to_string(path)?;
        let (_, rest) = text.split_once("\"node\":").context("no number")?;
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_make_a_cluster_that_survives_restarts_and_an_empty_disk() -> Result<()> {
    let site = Site::new()?;
    // The others are there first, and wait.
    let mut nodes = Vec::new();
    for host in HOSTS.iter().rev() {
        nodes.push(site.start(host)?);
    }
    site.found().await?;
    for host in HOSTS {
        site.ready(host).await?;
        site.shares(host).await?;
    }
    let mut numbers: Vec<u64> =
        HOSTS.iter().map(|host| site.number(host)).collect::<Result<_>>()?;
    ensure!(numbers[0] == 1, "the founder is {}", numbers[0]);
    numbers.sort_unstable();
    ensure!(numbers == [1, 2, 3], "{numbers:?}");
    // Once more changes nothing.
    site.found().await?;

    // A member goes on; the founder with an empty disk does not found a second cluster.
    let second = site.number(HOSTS[1])?;
    for (index, host) in [(1, HOSTS[1]), (2, HOSTS[0])] {
        nodes[index].kill().await?;
        if host == HOSTS[0] {
            std::fs::remove_dir_all(site.at(host).join("spool"))?;
        }
        nodes[index] = site.start(host)?;
        site.ready(host).await?;
    }
    ensure!(site.number(HOSTS[1])? == second, "a member has another number");
    ensure!(site.number(HOSTS[0])? == 4, "an empty disk came back under an old number");
    Ok(())
}
