use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::accounting::disk::SystemDisk;
use crate::message::RecordType;

/// Notes what failed, and calls the operator.
struct Operator {
    complaints: Arc<Mutex<Vec<String>>>,
    help: Box<dyn FnMut() -> bool + Send>,
}

impl Patience for Operator {
    fn failed(&mut self, what: &str) -> bool {
        self.complaints.lock().push(what.to_owned());
        (self.help)()
    }

    fn recovered(&mut self) {
        self.complaints.lock().push("recovered".to_owned());
    }
}

/// An archive in a directory of its own, with one file `acct.csv`.
struct Fixture {
    directory: tempfile::TempDir,
    archive: Archive<SystemDisk>,
    complaints: Arc<Mutex<Vec<String>>>,
    index: u64,
    utc_offset_s: i32,
}

const NOON: u64 = 1_464_523_200_000; // 2016-05-29 12:00:00 UTC
const HOUR: u64 = 3_600_000;

fn definition() -> wire::AcctFile {
    wire::AcctFile {
        path: "acct.csv".into(),
        records: vec![wire::Columns {
            r#type: "d".into(),
            names: vec!["type".into(), "rcpt".into()],
        }],
        max_size_bytes: 1_000_000,
        iso_times: true,
        ..wire::AcctFile::default()
    }
}

impl Fixture {
    fn new(definition: wire::AcctFile) -> Self {
        Self::with_help(definition, Box::new(|| false))
    }

    fn with_help(definition: wire::AcctFile, help: Box<dyn FnMut() -> bool + Send>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let operator = Operator { complaints: Arc::clone(&complaints), help };
        let place = Place { base: directory.path().into(), ledger: directory.path().join("state") };
        let mut archive = Archive::new(SystemDisk, place, Box::new(operator));
        let layout = wire::Layout { files: vec![definition] };
        archive.open(Some(1), &layout, &Marks::new()).unwrap();
        Self { directory, archive, complaints, index: 0, utc_offset_s: 0 }
    }

    fn job(
        &mut self,
        now: u64,
        rows: &[&str],
        rotate: Option<&str>,
        layout: Option<&wire::Layout>,
    ) -> Result<(), MachineError> {
        self.index += 1;
        let record = |rcpt: &&str| Record {
            rcpt: (*rcpt).to_owned(),
            ..Record::new(RecordType::Delivery, Timestamp(now))
        };
        let rows: Vec<Record> = rows.iter().map(record).collect();
        let rotate = rotate.map(|file| wire::Rotate { file: file.to_owned() });
        self.archive.apply(&Job {
            index: self.index,
            now: Timestamp(now),
            utc_offset_s: self.utc_offset_s,
            founding: 1,
            layout,
            rotate: rotate.as_ref(),
            rows: &rows,
            marks: &Marks::new(),
        })
    }

    fn rows(&mut self, now: u64, rows: &[&str]) {
        self.job(now, rows, None, None).unwrap();
    }

    /// Names in a directory and the recipients in each file.
    fn files(&self, under: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.directory.path().join(under)) else {
            return Vec::new();
        };
        let paths = entries.map(|e| e.unwrap().path()).filter(|path| path.is_file());
        let mut found: Vec<String> = paths
            .map(|path| {
                let text = fs::read_to_string(&path).unwrap();
                let body = text.strip_prefix("type,rcpt\r\n").unwrap_or(&text);
                let rows = body.replace("d,", "").replace("\r\n", " ");
                format!("{} {}", path.file_name().unwrap().to_string_lossy(), rows.trim_end())
            })
            .collect();
        found.sort();
        found
    }

    fn write_file(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }
}

#[test]
fn files_end_at_midnight_of_the_local_zone() {
    let check = |utc_offset_s, times: &[u64], expected: &[&str]| {
        let mut fixture = Fixture::new(definition());
        fixture.utc_offset_s = utc_offset_s;
        for (row, at) in ["a", "b", "c"].iter().zip(times) {
            fixture.rows(*at, &[row]);
        }
        assert_eq!(fixture.files(""), expected);
    };
    check(
        0,
        &[NOON, NOON + 12 * HOUR - 1, NOON + 12 * HOUR],
        &["acct-2016-05-29-0000.csv a b", "acct-2016-05-30-0000.csv c"],
    );
    check(
        -5 * 3600,
        &[NOON, NOON + 12 * HOUR, NOON + 17 * HOUR],
        &["acct-2016-05-29-0000.csv a b", "acct-2016-05-30-0000.csv c"],
    );
    // A clock that goes back ends nothing and begins nothing.
    check(0, &[NOON + 12 * HOUR, NOON, NOON + 13 * HOUR], &["acct-2016-05-30-0000.csv a b c"]);
}

#[test]
fn a_clock_that_was_days_ahead_does_not_stop_rotation() {
    let mut definition = definition();
    definition.move_to = "done".into();
    definition.move_interval_s = 1800;
    let mut fixture = Fixture::new(definition);
    for (row, at) in [("a", NOON + 72 * HOUR), ("b", NOON), ("c", NOON + HOUR)] {
        fixture.rows(at, &[row]);
    }
    assert_eq!(fixture.files("done"), ["acct-2016-06-01-0000.csv a", "acct-2016-06-01-0001.csv b"]);
    assert_eq!(fixture.files(""), ["acct-2016-06-01-0002.csv c"]);
}

#[test]
fn a_collector_in_another_zone_begins_no_day_again() {
    let mut fixture = Fixture::new(definition());
    // 01:00 of the next day in the first zone, still the day before in the second.
    for (row, at, zone) in [("a", 11, 2), ("b", 11, 0), ("c", 12, 0), ("d", 35, 2)] {
        fixture.utc_offset_s = zone * 3600;
        fixture.rows(NOON + at * HOUR, &[row]);
    }
    assert_eq!(fixture.files(""), ["acct-2016-05-30-0000.csv a b c", "acct-2016-05-31-0000.csv d"]);
}

#[test]
fn an_idle_file_ends_when_its_time_has_come() {
    let mut definition = definition();
    definition.move_to = "done".into();
    definition.move_interval_s = 1800;
    let mut fixture = Fixture::new(definition);
    assert!(!fixture.archive.rotations().due(Timestamp(NOON), 0), "nothing is open");
    fixture.rows(NOON, &["a"]);
    let due = |fixture: &Fixture, at| fixture.archive.rotations().due(Timestamp(at), 0);
    assert!(!due(&fixture, NOON + HOUR / 2 - 1));
    assert!(due(&fixture, NOON + HOUR / 2));
    fixture.rows(NOON + HOUR / 2, &[]);
    assert_eq!(fixture.files("done"), ["acct-2016-05-29-0000.csv a"]);
    assert!(fixture.files("").is_empty());
    assert!(!due(&fixture, NOON + 24 * HOUR));
}

#[test]
fn move_interval_needs_move_to() {
    let mut definition = definition();
    definition.move_interval_s = 1800;
    let mut fixture = Fixture::new(definition);
    fixture.rows(NOON, &["a"]);
    fixture.rows(NOON + HOUR, &["b"]);
    assert_eq!(fixture.files(""), ["acct-2016-05-29-0000.csv a b"]);
}

#[test]
fn files_end_before_they_are_too_large() {
    let check = |max_size_bytes, expected: &[&str]| {
        let mut fixture = Fixture::new(wire::AcctFile { max_size_bytes, ..definition() });
        fixture.rows(NOON, &["a", "b", "c"]);
        fixture.rows(NOON, &["d"]);
        assert_eq!(fixture.files(""), expected);
    };
    // The header has 11 bytes, a row 5.
    check(31, &["acct-2016-05-29-0000.csv a b c d"]);
    check(30, &["acct-2016-05-29-0000.csv a b c", "acct-2016-05-29-0001.csv d"]);
    check(21, &["acct-2016-05-29-0000.csv a b", "acct-2016-05-29-0001.csv c d"]);
    check(
        1,
        &[
            "acct-2016-05-29-0000.csv a",
            "acct-2016-05-29-0001.csv b",
            "acct-2016-05-29-0002.csv c",
            "acct-2016-05-29-0003.csv d",
        ],
    );
}

#[test]
fn an_operator_ends_files_by_name() {
    let check = |rotate: &str, expected: &[&str]| {
        let mut fixture = Fixture::new(definition());
        fixture.rows(NOON, &["a"]);
        fixture.job(NOON, &["b"], Some(rotate), None).unwrap();
        assert_eq!(fixture.files(""), expected, "{rotate:?}");
    };
    let two = ["acct-2016-05-29-0000.csv a", "acct-2016-05-29-0001.csv b"];
    check("", &two);
    check("acct.csv", &two);
    check("other.csv", &["acct-2016-05-29-0000.csv a b"]);
}

#[test]
fn numbers_go_on_after_files_that_are_there() {
    let mut definition = definition();
    definition.move_to = "done".into();
    let mut fixture = Fixture::new(definition);
    fixture.write_file("acct-2016-05-29-0000.csv", "not ours\n");
    fs::create_dir(fixture.directory.path().join("done")).unwrap();
    fixture.write_file("done/acct-2016-05-29-0001.csv", "not ours\n");
    fixture.write_file("acct-2016-05-30-0000.csv", "not ours\n");
    fixture.rows(NOON, &["a"]);
    fixture.job(NOON, &["b"], Some(""), None).unwrap();
    fixture.rows(NOON + 24 * HOUR, &["c"]);
    let ours = |names: Vec<String>| {
        names.into_iter().filter(|name| !name.ends_with("not ours\n")).collect::<Vec<_>>()
    };
    assert_eq!(
        ours(fixture.files("")),
        [
            "acct-2016-05-29-0000.csv not ours\n".trim_end(),
            "acct-2016-05-30-0000.csv not ours\n".trim_end(),
            "acct-2016-05-30-0001.csv c",
        ]
    );
    assert_eq!(
        fixture.files("done"),
        [
            "acct-2016-05-29-0001.csv not ours",
            "acct-2016-05-29-0002.csv a",
            "acct-2016-05-29-0003.csv b",
        ]
    );
}

#[test]
fn a_new_form_begins_a_new_file_and_other_changes_do_not() {
    let check = |change: fn(&mut wire::AcctFile), expected: &[&str]| {
        let mut fixture = Fixture::new(definition());
        fixture.rows(NOON, &["a"]);
        let mut changed = definition();
        change(&mut changed);
        let layout = wire::Layout { files: vec![changed] };
        fixture.job(NOON, &["b"], None, Some(&layout)).unwrap();
        assert_eq!(fixture.files(""), expected);
    };
    let same = ["acct-2016-05-29-0000.csv a b"];
    check(|_| (), &same);
    check(|file| file.max_size_bytes = 50, &same);
    check(|file| file.delete_after_s = Some(86_400), &same);
    check(
        |file| file.records[0].names.push("orig".into()),
        &["acct-2016-05-29-0000.csv a", "acct-2016-05-29-0001.csv type,rcpt,orig b,"],
    );
    check(
        |file| file.path = "new.csv".into(),
        &["acct-2016-05-29-0000.csv a", "new-2016-05-29-0000.csv b"],
    );
}

#[test]
fn a_file_that_somebody_removed_or_cut_is_followed_by_another() {
    let check = |interfere: fn(&Path), expected: &[&str]| {
        let mut fixture = Fixture::new(definition());
        fixture.rows(NOON, &["a"]);
        interfere(&fixture.directory.path().join("acct-2016-05-29-0000.csv"));
        fixture.rows(NOON, &["b"]);
        assert_eq!(fixture.files(""), expected, "while running");

        let mut fixture = Fixture::new(definition());
        fixture.rows(NOON, &["a"]);
        interfere(&fixture.directory.path().join("acct-2016-05-29-0000.csv"));
        let layout = wire::Layout { files: vec![definition()] };
        fixture.archive.open(Some(1), &layout, &Marks::new()).unwrap();
        fixture.rows(NOON, &["b"]);
        assert_eq!(fixture.files(""), expected, "at start");
    };
    check(|path| fs::remove_file(path).unwrap(), &["acct-2016-05-29-0001.csv b"]);
    check(
        |path| fs::write(path, "ty").unwrap(),
        &["acct-2016-05-29-0000.csv ty", "acct-2016-05-29-0001.csv b"],
    );
}

#[test]
fn bytes_that_a_crash_left_are_cut_off() {
    let mut fixture = Fixture::new(definition());
    fixture.rows(NOON, &["a"]);
    let layout = wire::Layout { files: vec![definition()] };
    fixture.write_file("acct-2016-05-29-0000.csv", "type,rcpt\r\nd,a\r\nd,hal");
    fixture.archive.open(Some(1), &layout, &Marks::new()).unwrap();
    assert_eq!(fixture.files(""), ["acct-2016-05-29-0000.csv a"]);
}

#[test]
fn old_files_are_deleted_unless_they_are_moved() {
    let check = |delete_after_s, move_to: &str, expected: &[&str]| {
        let definition = wire::AcctFile { delete_after_s, move_to: move_to.into(), ..definition() };
        let mut fixture = Fixture::new(definition);
        fixture.write_file("acct-2016-05-20-0000.csv", "old");
        fixture.write_file("diag-2016-05-20-0000.csv", "old");
        // These files are written now, so the rows come from the future.
        let later = Timestamp::now().as_millis() + 48 * HOUR;
        fixture.rows(later, &["a"]);
        let mut names = fixture.files("");
        names.retain(|name| name.ends_with("old"));
        assert_eq!(names, expected, "{delete_after_s:?} {move_to}");
    };
    let both = ["acct-2016-05-20-0000.csv old", "diag-2016-05-20-0000.csv old"];
    check(Some(86_400), "", &both[1..]);
    check(Some(4 * 86_400), "", &both);
    check(None, "", &both);
    check(Some(86_400), "done", &both);
}

#[test]
fn modes_follow_world_readable() {
    let check = |world_readable, expected: u32| {
        let mut fixture = Fixture::new(wire::AcctFile { world_readable, ..definition() });
        fixture.rows(NOON, &["a"]);
        let path = fixture.directory.path().join("acct-2016-05-29-0000.csv");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777 & expected, expected);
        assert_eq!(expected & 0o004 != 0, world_readable);
    };
    check(true, 0o644);
    check(false, 0o600);
}

#[test]
fn rows_wait_for_a_directory_that_cannot_be_written() {
    let directory = Arc::new(Mutex::new(PathBuf::new()));
    let obstacle = Arc::clone(&directory);
    let help = move || {
        fs::remove_file(obstacle.lock().join("logs")).unwrap();
        true
    };
    let definition = wire::AcctFile { path: "logs/acct.csv".into(), ..definition() };
    let mut fixture = Fixture::with_help(definition.clone(), Box::new(help));
    *directory.lock() = fixture.directory.path().to_owned();
    fixture.write_file("logs", "a file, not a directory");
    fixture.rows(NOON, &["a"]);
    assert_eq!(fixture.files("logs"), ["acct-2016-05-29-0000.csv a"]);
    let complaints = fixture.complaints.lock().clone();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert_eq!(complaints[1], "recovered");

    // A node that stops leaves the entry undone.
    let mut fixture = Fixture::new(definition);
    fixture.write_file("logs", "a file, not a directory");
    assert!(matches!(fixture.job(NOON, &["a"], None, None), Err(MachineError::Io { .. })));
}

#[test]
fn a_move_that_fails_is_made_later() {
    let mut fixture = Fixture::new(wire::AcctFile { move_to: "done".into(), ..definition() });
    fixture.write_file("done", "a file, not a directory");
    fixture.rows(NOON, &["a"]);
    fixture.job(NOON, &["b"], Some(""), None).unwrap();
    let two = ["acct-2016-05-29-0000.csv a", "acct-2016-05-29-0001.csv b"];
    assert_eq!(fixture.files("")[..2], two);
    fs::remove_file(fixture.directory.path().join("done")).unwrap();
    fixture.rows(NOON, &["c"]);
    assert_eq!(fixture.files("done"), two[..1]);
    assert_eq!(fixture.files(""), ["acct-2016-05-29-0001.csv b c"]);
}

#[test]
fn figures_tell_what_is_being_written() {
    let mut fixture = Fixture::new(definition());
    let none = fixture.archive.figures();
    assert_eq!((none[0].target.as_str(), &none[0].current), ("acct.csv", &None));
    fixture.rows(NOON, &["a", "b"]);
    let path = fixture.directory.path().join("acct-2016-05-29-0000.csv");
    assert_eq!(
        fixture.archive.figures(),
        [FileFigures {
            target: "acct.csv".into(),
            directory: fixture.directory.path().into(),
            current: Some(path),
            rows: 2,
            length_bytes: 21,
            last_row_at: Some(Timestamp(NOON)),
        }]
    );
    let told =
        |file: &str| fixture.archive.rotations().told_by(&wire::Rotate { file: file.to_owned() });
    assert_eq!(told(""), ["acct-2016-05-29-0000.csv"]);
    assert!(told("x").is_empty());
}
