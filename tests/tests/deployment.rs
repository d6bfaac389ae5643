//! What `deploy/` offers can be used: configurations are accepted, parts fit together, scripts do
//! what they say.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, ensure};
use convoy_tests::certificates::Authority;
use convoy_tests::node::program;
use convoy_tests::programs::{run, try_run};
use tempfile::TempDir;
use tokio::process::Command;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Checks a configuration as an operator does.
async fn accepted(path: &Path) -> Result<()> {
    let mtad = shown(&program("mtad"));
    let (good, said) = try_run(&mtad, &["--check-config", &shown(path)]).await?;
    ensure!(good && !said.contains("error"), "{}:\n{said}", path.display());
    ensure!(!said.contains("not acted on yet"), "{} does nothing:\n{said}", path.display());
    Ok(())
}

#[tokio::test]
async fn the_configuration_of_one_node_is_accepted() -> Result<()> {
    let directory = TempDir::new()?;
    let path = directory.path().join("config");
    let certificate = directory.path().join("smtp-cert.pem");
    Authority::new("test")?.issue(&["localhost"])?.write(&certificate)?;
    let text = std::fs::read_to_string(deploy().join("sample/config"))?;
    std::fs::write(&path, text.replace("smtp-cert.pem", &shown(&certificate)))?;
    accepted(&path).await
}

/// The file of a node and the one that all nodes share are one configuration in two parts.
#[tokio::test]
async fn configurations_of_clusters_are_accepted() -> Result<()> {
    let directory = TempDir::new()?;
    for of in ["sample/cluster", "compose", "kubernetes"] {
        let part = |name| std::fs::read_to_string(deploy().join(of).join(name));
        let node = part("node.conf")?.replace("@HOST@", "mx1.example.com");
        let path = directory.path().join("config");
        std::fs::write(&path, format!("{node}\n{}", part("cluster.conf")?))?;
        accepted(&path).await?;
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
