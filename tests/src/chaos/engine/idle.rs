//! What nodes use while nothing happens.

use super::*;

/// Watches the nodes while they have nothing to do.
pub(super) async fn idle(trial: &Trial) -> Result<Idle> {
    let nodes = trial.cluster.all_running();
    let pids: Vec<u32> = nodes.iter().filter_map(|node| trial.cluster.pid(*node)).collect();
    let before = pids.iter().map(|pid| cpu(*pid)).collect::<Result<Vec<_>>>()?;
    sleep(IDLE).await;
    let mut most = Idle::default();
    for (pid, before) in pids.iter().zip(before) {
        let used = cpu(*pid)?.saturating_sub(before);
        most.cpu_percent = most.cpu_percent.max(used.as_secs_f64() / IDLE.as_secs_f64() * 100.0);
        most.rss_mib = most.rss_mib.max(rss_mib(*pid)?);
    }
    Ok(most)
}

fn process(pid: u32, file: &str) -> Result<String> {
    let path: PathBuf = Path::new("/proc").join(pid.to_string()).join(file);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// CPU time of a process so far.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = process(pid, "stat")?;
    // The name of the program, in parentheses, may hold blanks.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

fn rss_mib(pid: u32) -> Result<f64> {
    let status = process(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let Some(kib) = line.and_then(|line| line.split_whitespace().next()) else {
        bail!("process {pid} has no VmRSS")
    };
    Ok(kib.parse::<f64>()? / 1024.0)
}
