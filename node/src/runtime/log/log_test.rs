use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tracing_subscriber::layer::SubscriberExt as _;

use super::file::Target;
use super::*;

const DAY_MS: u64 = 86_400_000;

fn settings(path: &Path, kept: u32) -> LogSettings {
    LogSettings { path: Some(path.to_owned()), kept, at_midnight: true, world_readable: false }
}

fn read(path: &Path, suffix: &str) -> Option<String> {
    std::fs::read_to_string(format!("{}{suffix}", path.display())).ok()
}

/// Writes one line.
fn line(target: &mut Target, at: Timestamp, text: &str) {
    target.rotate_at_midnight(at).unwrap();
    target.write(at, text).unwrap();
    target.flush().unwrap();
}

#[test]
fn old_files_are_numbered_and_the_oldest_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let at = Timestamp::now();
    let mut target = Target::open(settings(&path, 2), at).unwrap();
    for day in 0..4 {
        line(&mut target, at + std::time::Duration::from_millis(DAY_MS * day), &day.to_string());
    }
    let texts = ["", ".1", ".2", ".3"]
        .map(|suffix| read(&path, suffix).map(|text| text.trim_end().chars().last().unwrap()));
    assert_eq!(texts, [Some('3'), Some('2'), Some('1'), None]);
}

#[test]
fn lines_of_one_day_stay_together_and_are_stamped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let at = Timestamp::now();
    let mut target = Target::open(settings(&path, 2), at).unwrap();
    line(&mut target, at, "one");
    line(&mut target, at, "two");
    let stamp = at.local().strftime("%Y-%m-%d %H:%M:%S").to_string();
    assert_eq!(read(&path, "").unwrap(), format!("{stamp} one\n{stamp} two\n"));
    assert_eq!(read(&path, ".1"), None);
}

#[test]
fn without_rotation_midnight_changes_nothing_and_a_moved_file_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let at = Timestamp::now();
    let mut target = Target::open(settings(&path, 0), at).unwrap();
    line(&mut target, at, "one");
    line(&mut target, Timestamp(at.0 + DAY_MS), "two");
    assert_eq!(read(&path, "").unwrap().lines().count(), 2);
    std::fs::rename(&path, directory.path().join("moved")).unwrap();
    target.rotate().unwrap();
    line(&mut target, at, "three");
    assert!(read(&path, "").unwrap().ends_with(" three\n"));
    assert_eq!(read(&path, ".1"), None);
}

#[test]
fn a_file_of_yesterday_is_rotated_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    std::fs::write(&path, "old\n").unwrap();
    let yesterday =
        std::time::UNIX_EPOCH + std::time::Duration::from_millis(Timestamp::now().0 - 2 * DAY_MS);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    let now = Timestamp::now();
    let mut target = Target::open(settings(&path, 3), now).unwrap();
    line(&mut target, now, "new");
    assert_eq!(read(&path, ".1").unwrap(), "old\n");
    assert!(read(&path, "").unwrap().ends_with(" new\n"));
}

#[test]
fn the_mode_follows_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    for (world_readable, expected) in [(false, 0o640), (true, 0o644)] {
        let settings = LogSettings { world_readable, ..settings(&path, 1) };
        Target::open(settings, Timestamp::now()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected);
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let settings = settings(Path::new("/nonexistent/log"), 1);
    let error = Target::open(settings, Timestamp::now()).err().unwrap().to_string();
    assert!(error.contains("/nonexistent/log"), "{error}");
}

#[tokio::test]
async fn events_become_lines_and_rotation_and_reload_keep_them_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("log"), directory.path().join("other"));
    let (log, layer) = Log::start(settings(&path, 5)).unwrap();
    let subscriber = tracing_subscriber::registry().with(layer);
    let guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("first {}", 1);
    tracing::debug!("never");
    tracing::info!(target: "hickory_net", "never");
    tracing::warn!(target: "openraft::core", "never");
    tracing::warn!(target: "hickory_net", id = 7, "lease expired");
    log.rotate().await.unwrap();
    tracing::info!("second");
    log.configure(settings(&other, 5)).await.unwrap();
    tracing::info!("third");
    log.flush().await.unwrap();
    drop(guard);
    let texts = |path: &Path, suffix| -> Vec<String> {
        read(path, suffix).unwrap().lines().map(|line| line[20..].to_owned()).collect()
    };
    assert_eq!(texts(&path, ".1"), ["first 1", "lease expired id=7"]);
    assert_eq!(texts(&path, ""), ["second"]);
    assert_eq!(texts(&other, ""), ["third"]);
    let missing = settings(Path::new("/nonexistent/log"), 1);
    assert!(log.configure(missing).await.is_err());
    log.stop();
    assert!(log.rotate().await.is_err());
}

#[test]
fn lines_that_found_no_room_are_counted_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let (lines, waiting) = sync_channel(2);
    let (commands, orders) = sync_channel(1);
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = Arc::new(Queue { lines, dropped: Arc::clone(&dropped) });
    let subscriber = tracing_subscriber::registry().with(LogLayer { queue });
    tracing::subscriber::with_default(subscriber, || {
        for n in 0..5 {
            tracing::info!("line {n}");
        }
    });
    // Nobody was reading yet; now the writer comes, and ends.
    commands.send(Command::Stop).unwrap();
    let target = Target::open(settings(&path, 1), Timestamp::now()).unwrap();
    writer::run(target, &waiting, &orders, &dropped);
    let text = read(&path, "").unwrap();
    let texts: Vec<&str> = text.lines().map(|line| &line[20..]).collect();
    assert_eq!(texts[..2], ["line 0", "line 1"]);
    assert!(texts[2].starts_with("3 log line(s) were dropped"), "{text}");
}
