//! Does the steps of a scenario while mail flows, and judges what was seen.

mod idle;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep, timeout};

use self::idle::idle;
use super::report::{Idle, Outcome};
use super::{AFTERWARDS, Needs, Scenario, Step, Who};
use crate::cluster::fresh_directory;
use crate::history::{Answer, At, Limit, Rule, Sent};
use crate::laws::{Judgement, Law, Tolerance, Violation, judge};
use crate::load::{Load, Pace, Source};
use crate::network::Network;
use crate::place::Place;
use crate::proxy::Way;
use crate::receiver::Manner;
use crate::shim::{self, Control, Shim};
use crate::trial::{Setting, Target, Trial};

/// Messages a second.
const RATE: f64 = 30.0;
/// At most so many messages in one scenario.
const MESSAGES: u32 = 20_000;
/// Connections to the limited domain, all nodes together.
const CONNECTIONS: u32 = 5;
/// Messages a minute to the domain with a rate, all nodes together, and how many may come at once.
const PER_MINUTE: u32 = 300;
/// A scenario that takes longer has failed.
const MOST: Duration = Duration::from_secs(600);
/// How long it may take until all that was accepted is dealt with.
const SETTLE: Duration = Duration::from_secs(180);
/// How long the idle cluster is watched.
const IDLE: Duration = Duration::from_secs(5);
const DISK_MIB: u32 = 192;

/// Of one run of the program.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For waits, sizes and recipients.
    pub seed: u64,
}

/// Runs a scenario; gives what came out, or why it cannot run here.
///
/// # Errors
///
/// The reason for which it cannot run here.
pub async fn run(scenario: &Scenario, options: Options) -> Result<Outcome, String> {
    let started = Instant::now();
    let setting = setting(scenario).map_err(|error| format!("{error:#}"))?;
    let mut outcome = Outcome {
        name: scenario.name,
        judgement: Err(String::new()),
        takeovers: Vec::new(),
        drains: Vec::new(),
        idle: Idle::default(),
        took: Duration::ZERO,
    };
    let tried = timeout(MOST, attempt(scenario, setting, options, &mut outcome)).await;
    outcome.judgement = match tried {
        Ok(Ok(judgement)) => Ok(judgement),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("did not end within {MOST:?}")),
    };
    outcome.took = started.elapsed();
    Ok(outcome)
}

fn setting(scenario: &Scenario) -> Result<Setting> {
    let root = || rustix::process::geteuid().is_root();
    let directory = fresh_directory(&format!("convoy-chaos/{}", scenario.name))?;
    let place = if scenario.needs == Needs::Namespaces {
        Network::available().map_err(anyhow::Error::msg)?;
        Place::namespaces()?
    } else {
        Place::loopback()
    };
    let mut setting = Setting::new(scenario.nodes, place, directory.clone(), targets());
    match scenario.needs {
        Needs::Nothing | Needs::Namespaces => {}
        Needs::Shim => setting.shim = Some(Shim::build(&directory)?),
        Needs::SmallDisks => {
            ensure!(root(), "small disks need root");
            setting.disk_mib = Some(DISK_MIB);
        }
        Needs::Proxies => setting.proxies = true,
    }
    Ok(setting)
}

fn targets() -> Vec<Target> {
    let manner = |low, high| Manner {
        delay: Duration::from_millis(low)..=Duration::from_millis(high),
        ..Manner::default()
    };
    let target = |domain: &str, directives: String, encrypted, manner| Target {
        domain: domain.to_owned(),
        directives,
        encrypted,
        manner,
    };
    let moody = Manner { defer_recipients: 0.05, defer_messages: 0.05, ..manner(5, 20) };
    vec![
        // Slow, so that each node always has something between final dot and reply.
        target("slow.example", String::new(), false, manner(300, 600)),
        target("limited.example", format!(" max-smtp-out {CONNECTIONS}"), false, manner(50, 150)),
        target("tls.example", String::new(), true, moody),
        target("rate.example", format!(" max-msg-rate {PER_MINUTE}/m"), false, manner(5, 20)),
    ]
}

fn limits() -> Vec<Limit> {
    let limit = |receiver, rule| Limit { receiver, source: None, rule };
    let minute = Duration::from_secs(60);
    vec![limit(1, Rule::Connections(CONNECTIONS)), limit(3, Rule::Messages(PER_MINUTE, minute))]
}

fn load(trial: &Trial, options: Options) -> Load {
    let mut load = trial.load(MESSAGES);
    load.pace = Pace::Open(RATE);
    load.connections = 12;
    load.per_connection = 10;
    load.recipients = 1..=3;
    load.sizes = vec![300, 2_000, 2_000, 20_000, 200_000];
    load.bounces = 0.03;
    load.retries = 30;
    load.seed = options.seed;
    load
}

async fn attempt(
    scenario: &Scenario,
    setting: Setting,
    options: Options,
    outcome: &mut Outcome,
) -> Result<Judgement> {
    let directory = setting.directory.clone();
    let mut trial = Trial::start(setting).await?;
    trial.limits = limits();
    let tried = attempt_on(&mut trial, scenario, options, outcome).await;
    if tried.as_ref().is_ok_and(|judgement| judgement.violations.is_empty()) {
        drop(trial);
        // What went well needs no inspection, and the room is needed.
        let _ = std::fs::remove_dir_all(&directory);
        return tried;
    }
    std::fs::write(directory.join("logs"), trial.cluster.logs())?;
    tried.with_context(|| format!("see {}", directory.display()))
}

async fn attempt_on(
    trial: &mut Trial,
    scenario: &Scenario,
    options: Options,
    outcome: &mut Outcome,
) -> Result<Judgement> {
    outcome.idle = idle(trial).await?;
    let source = trial.send(load(trial, options));
    let rng = StdRng::seed_from_u64(options.seed);
    let (last, found) = (Vec::new(), Vec::new());
    let mut engine =
        Engine { trial, source: &source, outcome, rng, last, found, since: At::ZERO, pushes: 0 };
    for _ in 0..scenario.times {
        for step in scenario.steps {
            engine.step(*step).await.with_context(|| format!("{step:?}"))?;
        }
    }
    let found = engine.found;
    sleep(AFTERWARDS).await;
    let sent = source.stop().await;
    trial.settle(&sent, SETTLE).await;
    let mut judgement = judge(&trial.history(sent).await?, Tolerance::default());
    judgement.violations.extend(found);
    Ok(judgement)
}

struct Engine<'a> {
    trial: &'a mut Trial,
    source: &'a Source,
    outcome: &'a mut Outcome,
    rng: StdRng,
    /// Nodes that the last step with a choice chose.
    last: Vec<u8>,
    /// When the fault that goes on began.
    since: At,
    /// Laws that steps check themselves.
    found: Vec<Violation>,
    pushes: u32,
}

impl Engine<'_> {
    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Wait(ms) => {
                let factor = self.rng.random_range(0.7..1.3);
                sleep(Duration::from_millis(ms).mul_f64(factor)).await;
                Ok(())
            }
            Step::Healthy => self.trial.cluster.wait_healthy().await,
            Step::Kill(_) | Step::KillAll | Step::PowerCut | Step::FailSync(_) => {
                self.kill(step).await
            }
            Step::Restart => self.restart().await,
            Step::Terminate(who) => self.terminate(who).await,
            Step::Pause(who) => self.pause(who).await,
            Step::Resume => self.resume(),
            Step::Isolate(who) | Step::Bridge(who) | Step::Mute(who) => self.cut(step, who).await,
            Step::Heal => self.heal(),
            Step::Delay(delay, jitter) => {
                let (delay, jitter) = (Duration::from_millis(delay), Duration::from_millis(jitter));
                self.trial.cluster.set_way(Way { delay, jitter, ..Way::default() })
            }
            Step::Drain(who) => self.drain(who).await,
            Step::Undrain => {
                let id = self.id(self.chosen()?);
                self.trial.cluster.ask(&["cluster", "undrain", &id]).await.map(drop)
            }
            Step::Replace(who) => self.replace(who).await,
            Step::Join => self.trial.cluster.join().await.map(drop),
            Step::Remove(who) => self.remove(who).await,
            Step::Push => self.push().await,
            Step::Fill(_) | Step::Free => self.fill(step).await,
            Step::SlowDisk(who, ms) => self.slow(who, ms).await,
            Step::Clock(who, ms) => {
                let node = self.choose_again(who).await?;
                Control::of(&self.trial.cluster.member(node).directory)?.shift_wall(ms)
            }
        }
    }

    fn id(&self, node: u8) -> String {
        self.trial.cluster.member(node).id.clone()
    }

    fn chosen(&self) -> Result<u8> {
        self.last.first().copied().context("no step has chosen a node")
    }

    async fn choose(&mut self, who: Who) -> Result<u8> {
        let cluster = &self.trial.cluster;
        let node = match who {
            Who::Collector => cluster.leader("accounting").await?,
            Who::Meta => cluster.leader("meta").await?,
            // Shares of a limit are granted by the leader of a partition; that of the first one
            // grants as many as any other.
            Who::Granting => cluster.leader("p0").await?,
            Who::Leader | Who::Follower => {
                let status = cluster.status().await?;
                let leads = |node: &u8| {
                    let led = status.led_by(&cluster.member(*node).id);
                    led.iter().filter(|group| group.starts_with('p')).count()
                };
                let running = cluster.all_running().into_iter();
                let found = match who {
                    Who::Follower => running.min_by_key(leads),
                    _ => running.max_by_key(leads),
                };
                found.context("no node runs")?
            }
        };
        self.last = vec![node];
        Ok(node)
    }

    /// The node that an earlier step chose, or else a new one.
    async fn choose_again(&mut self, who: Who) -> Result<u8> {
        match self.last.first() {
            Some(node) => Ok(*node),
            None => self.choose(who).await,
        }
    }

    async fn kill(&mut self, step: Step) -> Result<()> {
        let before = self.source.sent();
        let (node, killed) = match step {
            Step::Kill(who) => {
                let node = self.choose(who).await?;
                (node, self.trial.kill(node).await?)
            }
            Step::FailSync(who) => {
                let node = self.choose(who).await?;
                (node, self.fail_sync(node).await?)
            }
            Step::PowerCut => return self.power_cut().await,
            _ => return self.kill_all().await,
        };
        let leads = matches!(step, Step::Kill(Who::Leader) | Step::FailSync(Who::Leader));
        if leads {
            let takeover = self.trial.takeover(&before, node, killed).await?;
            self.outcome.takeovers.push(takeover);
        }
        Ok(())
    }

    async fn fail_sync(&mut self, node: u8) -> Result<At> {
        let from = self.trial.now();
        Control::of(&self.trial.cluster.member(node).directory)?.fail(1)?;
        let status = self.trial.cluster.wait_ended(node).await?;
        self.trial.note("sync error", Some(node), from);
        ensure!(!status.success(), "a node whose sync fails ends with success");
        Ok(from)
    }

    async fn kill_all(&mut self) -> Result<()> {
        let from = self.trial.now();
        self.last = self.trial.cluster.all_running();
        for node in self.last.clone() {
            self.trial.cluster.kill(node).await?;
        }
        self.trial.note("kill -9 of all", None, from);
        Ok(())
    }

    async fn power_cut(&mut self) -> Result<()> {
        self.kill_all().await?;
        for node in &self.last {
            shim::cut_power(&self.trial.cluster.member(*node).directory)?;
        }
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        for node in self.trial.cluster.all_down() {
            self.trial.cluster.restart(node).await?;
        }
        Ok(())
    }

    async fn terminate(&mut self, who: Who) -> Result<()> {
        let node = self.choose(who).await?;
        self.trial.cluster.terminate(node).await
    }

    async fn pause(&mut self, who: Who) -> Result<()> {
        let node = self.choose(who).await?;
        self.trial.begin("SIGSTOP", Some(node), true);
        self.trial.cluster.pause(node).map(drop)
    }

    fn resume(&mut self) -> Result<()> {
        self.trial.cluster.resume(self.chosen()?)?;
        self.trial.over();
        Ok(())
    }

    async fn cut(&mut self, step: Step, who: Who) -> Result<()> {
        let node = self.choose(who).await?;
        let others: Vec<u8> =
            self.trial.cluster.all().into_iter().filter(|other| *other != node).collect();
        let next = *others.first().context("there is no other node")?;
        let network = self.trial.cluster.place.network()?;
        match step {
            Step::Isolate(_) => network.part(&[node], &others)?,
            Step::Bridge(_) => network.part(&[node], &[next])?,
            _ => others.iter().try_for_each(|other| network.cut(node, *other))?,
        }
        self.since = self.trial.now();
        // Who leads what may change with every cut, so outcomes of any node may stay unrecorded.
        self.trial.begin("cut", None, false);
        self.last = if matches!(step, Step::Isolate(_)) { vec![node] } else { Vec::new() };
        Ok(())
    }

    fn heal(&mut self) -> Result<()> {
        if let Ok(node) = self.chosen() {
            self.trial.note_minority(node, self.since);
        }
        self.trial.over();
        self.trial.cluster.place.network()?.heal()
    }

    /// Drains a node and waits until it leads nothing.
    async fn drain(&mut self, who: Who) -> Result<()> {
        let node = self.choose(who).await?;
        let (id, from) = (self.id(node), self.trial.now());
        self.trial.cluster.ask(&["cluster", "drain", &id]).await?;
        let leads_nothing = async {
            while !self.trial.cluster.status().await?.led_by(&id).is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        timeout(SETTLE, leads_nothing).await.context("it goes on leading")??;
        self.outcome.drains.push(self.trial.now() - from);
        self.found.extend(refusals(&self.source.sent(), node, from));
        Ok(())
    }

    async fn replace(&mut self, who: Who) -> Result<()> {
        let node = self.choose(who).await?;
        self.trial.kill(node).await?;
        self.trial.cluster.wipe(node)?;
        self.trial.cluster.replace(node).await.map(drop)
    }

    async fn remove(&mut self, who: Who) -> Result<()> {
        self.drain(who).await?;
        let node = self.chosen()?;
        let id = self.id(node);
        self.trial.cluster.ask(&["cluster", "remove", &id]).await?;
        let gone = async {
            loop {
                let status = self.trial.cluster.status().await?;
                if status.members.iter().all(|member| member.id != id) {
                    return anyhow::Ok(());
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(SETTLE, gone).await.context("it stays a member")??;
        self.trial.cluster.retire(node).await
    }

    async fn push(&mut self) -> Result<()> {
        self.pushes += 1;
        let number = self.pushes;
        let shared = self.trial.cluster.shared();
        let text = format!("{shared}<domain push{number}.example>\n max-smtp-out 7\n</domain>\n");
        let node = self.trial.cluster.all().first().copied().context("no node")?;
        let path = self.trial.cluster.member(node).directory.join("pushed");
        std::fs::write(&path, text)?;
        let path = path.display().to_string();
        self.trial.cluster.ask(&["config", "push", &path]).await.map(drop)
    }

    async fn fill(&mut self, step: Step) -> Result<()> {
        if let Step::Fill(who) = step {
            let node = self.choose(who).await?;
            self.trial.begin("disk full", Some(node), false);
            return self.trial.cluster.disk(node)?.fill();
        }
        let node = self.chosen()?;
        self.trial.cluster.disk(node)?.free()?;
        self.trial.over();
        if self.trial.cluster.has_ended(node)? {
            self.trial.cluster.restart(node).await?;
        }
        Ok(())
    }

    async fn slow(&mut self, who: Who, ms: u64) -> Result<()> {
        let node = self.choose_again(who).await?;
        Control::of(&self.trial.cluster.member(node).directory)?.slow(Duration::from_millis(ms))?;
        if ms > 0 {
            self.trial.begin("slow disk", Some(node), false);
        } else {
            self.trial.over();
        }
        Ok(())
    }
}

/// What a node that is drained answered besides `250` and `421`.
fn refusals(sent: &[Sent], node: u8, from: At) -> Option<Violation> {
    let refused = |sent: &&Sent| {
        sent.attempts.iter().any(|attempt| {
            let other = match attempt.answer {
                Answer::Refused(code) | Answer::Deferred(code) => code != 421,
                Answer::Accepted | Answer::Unknown | Answer::Unsent => false,
            };
            other && attempt.node == node && attempt.ended >= from
        })
    };
    let recipients: Vec<_> = sent.iter().filter(refused).flat_map(Sent::recipients).collect();
    Violation::about(Law::Drain, "refused by the node that was drained", &recipients)
}
