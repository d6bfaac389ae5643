//! A node's own file and what nodes share: what counts, and what is said.

use super::*;
use crate::config::split::{CLUSTER_FILE, NODE_FILE, split};
use crate::id::DEFAULT_VMTA;

/// A node's own file that has all that it needs.
const OWN: &str = "log-file l\nsmtp-listener 127.0.0.1:25\n";

fn bundle(files: &[(&str, &str)]) -> Bundle {
    let owned = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Bundle::new(owned.collect()).unwrap()
}

fn loaded(own: &str, shared: &[(&str, &str)], version: Option<u64>) -> Loaded {
    let files = MemoryFiles::default().with("node.conf", own);
    load_with(Path::new("node.conf"), &files, &bundle(shared), version)
}

fn both(own: &str, shared: &str) -> Config {
    let loaded = loaded(own, &[("cluster.conf", shared)], None);
    loaded.config.unwrap_or_else(|| panic!("{}", printed(&loaded.diagnostics)))
}

/// `FILE:LINE:COLUMN severity message`.
fn told(own: &str, shared: &str) -> Vec<String> {
    let diagnostics = loaded(own, &[("cluster.conf", shared)], Some(7)).diagnostics;
    let place = |d: &Diagnostic| {
        d.position.as_ref().map(|p| format!("{}:", p.file().display())).unwrap_or_default()
    };
    diagnostics.iter().map(|d| format!("{}{}", place(d), line_of(d))).collect()
}

#[test]
fn both_parts_make_one_configuration() {
    let own = "log-file l\nspool /data\n<smtp-listener 127.0.0.1:2525>\nsource customers\n\
               </smtp-listener>\n";
    let shared = "postmaster a@b.example\n<source customers>\nrequire-auth yes\n</source>\n\
                  <domain *>\nmax-smtp-out 7\n</domain>\n";
    let config = both(own, shared);
    assert_eq!(config.server.spool, Path::new("/data"));
    assert_eq!(config.server.postmaster, ["a@b.example"]);
    assert_eq!(config.listeners[0].source.as_deref(), Some("customers"));
    assert_eq!(config.queue("x.example", DEFAULT_VMTA).max_smtp_out, Some(7));
    let origin = config.show_settings("x.example", DEFAULT_VMTA).into_iter();
    let limit = origin.filter(|(name, ..)| name == "max-smtp-out").find_map(|(_, _, at)| at);
    assert_eq!(limit.unwrap().to_string(), "cluster.conf:6:1");
}

#[test]
fn what_the_node_says_of_itself_comes_first() {
    let shared = "host-name mail.example\nhost-name other.example\ntotal-max-smtp-in 100\n\
                  name-server 192.0.2.1\n";
    let config = both(&format!("{OWN}host-name mx1.example\ntotal-max-smtp-in 9\n"), shared);
    assert_eq!(config.server.local_names, ["mx1.example"]);
    assert_eq!(config.server.total_max_smtp_in, 9);
    assert_eq!(config.server.name_servers.len(), 1);
    assert_eq!(both(OWN, shared).server.host_name, "mail.example");
}

#[test]
fn shared_directives_in_a_nodes_own_file_are_passed_over_with_a_warning() {
    let own = format!(
        "{OWN}postmaster x@y.example\n<domain *>\nmax-smtp-out 3\n</domain>\n\
         log-rotate 5 relay-domain z.example\n"
    );
    assert_eq!(
        told(&own, "postmaster a@b.example\n"),
        [
            "node.conf:3:1 warning `postmaster` is taken from the cluster's configuration, \
             version 7",
            "node.conf:4:2 warning <domain *> is taken from the cluster's configuration, version 7",
            "node.conf:7:14 warning `relay-domain` is read as a directive of its own",
            "node.conf:7:14 warning `relay-domain` is taken from the cluster's configuration, \
             version 7",
        ]
    );
    let config = both(&own, "postmaster a@b.example\n");
    assert_eq!(config.server.postmaster, ["a@b.example"]);
    assert_eq!(config.queue("x.example", DEFAULT_VMTA).max_smtp_out, Some(20));
    assert!(!config.relay_allowed("a", "z.example"));
    let help = loaded(&own, &[("c", "postmaster a@b.example\n")], None).diagnostics[0].help.clone();
    assert_eq!(help.as_deref(), Some("remove it here"));
}

#[test]
fn node_local_directives_in_the_shared_part_are_errors() {
    let shared = "log-file x\n<smtp-listener 0/0:25>\n</smtp-listener>\n\
                  relay-domain a.example spool /s\n<transmissions-api>\n\
                  <transmissions-api-listener 10.0.0.1:8443>\n</transmissions-api-listener>\n\
                  </transmissions-api>\n";
    let errors: Vec<_> = told(OWN, shared).into_iter().filter(|l| l.contains(" error ")).collect();
    let says = "is node-local: it stands in the file of each node";
    assert_eq!(
        errors,
        [
            format!("cluster@7/cluster.conf:1:1 error `log-file` {says}"),
            format!("cluster@7/cluster.conf:2:16 error <smtp-listener> {says}"),
            format!("cluster@7/cluster.conf:4:24 error `spool` {says}"),
            format!("cluster@7/cluster.conf:6:29 error <transmissions-api-listener> {says}"),
        ]
    );
    let help = loaded(OWN, &[("c", "spool /s\n")], None).diagnostics[0].help.clone().unwrap();
    assert!(help.contains("--split-config"), "{help}");
}

#[test]
fn errors_of_both_parts_are_listed_and_names_are_looked_up_in_both() {
    let own = format!(
        "{OWN}log-rotate many\n<smtp-listener 127.0.0.1:26>\nsource nobody\n</smtp-listener>\n"
    );
    let shared = "<virtual-mta a>\nsmtp-source-host 10.0.0.300\n</virtual-mta>\nnonsense 1\n";
    let errors = told(&own, shared);
    let places: Vec<_> = errors.iter().filter_map(|e| e.split(" error").next()).collect();
    let expected = [
        "cluster@7/cluster.conf:2:18",
        "cluster@7/cluster.conf:4:1",
        "node.conf:3:12",
        "node.conf:5:8",
    ];
    assert_eq!(places, expected, "{errors:?}");
}

#[test]
fn included_files_come_out_of_the_bundle() {
    let files = [
        ("cluster.conf", "include conf.d/*.conf\n"),
        ("conf.d/a.conf", "postmaster a@b.example\ninclude more/x.conf\n"),
        ("conf.d/more/x.conf", "log-file x\n"),
        ("other.conf", "nonsense\n"),
    ];
    let list = loaded(OWN, &files, Some(2)).diagnostics;
    let at = list[0].position.as_ref().unwrap().to_string();
    assert_eq!((list.len(), at.as_str()), (1, "cluster@2/conf.d/more/x.conf:1:1"));
    let absent = loaded(OWN, &[("c.conf", "include x\n")], None).diagnostics;
    assert!(absent[0].message.contains("there is no such file"), "{}", absent[0]);
}

#[test]
fn a_listener_in_a_shared_section_stays_with_the_node() {
    let own = format!(
        "{OWN}<transmissions-api>\napi-key k\n<transmissions-api-listener 10.0.0.1:8443>\n\
         tls-certificate a.pem\n</transmissions-api-listener>\n</transmissions-api>\n"
    );
    let said = told(&own, "postmaster a@b.example\n");
    assert!(said[0].starts_with("node.conf:3:2 warning <transmissions-api> is taken"), "{said:?}");
    let paths: Vec<_> = both(&own, "").file_positions.into_iter().map(|f| f.path).collect();
    assert!(paths.contains(&"a.pem".into()), "{paths:?}");
}

#[test]
fn the_local_part_is_read_without_the_rest() {
    let text = format!(
        "{OWN}spool /data\nqueue-partitions 3\n<smtp-listener 127.0.0.1:26>\nsource shared-one\n\
         </smtp-listener>\n<domain *>\nmax-smtp-out x\n</domain>\n"
    );
    let files = MemoryFiles::default().with("node.conf", text.clone());
    assert!(load(Path::new("node.conf"), &files).config.is_none());
    let config = load_local(Path::new("node.conf"), &files).config.unwrap();
    assert_eq!((config.server.spool.as_path(), config.server.partitions), (Path::new("/data"), 3));
    let broken = MemoryFiles::default().with("node.conf", format!("{text}queue-partitions 0\n"));
    assert!(load_local(Path::new("node.conf"), &broken).config.is_none());
}

/// Files of a split configuration, by name.
fn split_up(files: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
    let all = files.iter().fold(MemoryFiles::default(), |all, (n, t)| all.with(*n, *t));
    let parts =
        split(Path::new("/etc/c/config"), &all).unwrap_or_else(|d| panic!("{}", printed(&d)));
    (parts.files, parts.told)
}

fn file<'a>(files: &'a [(String, String)], name: &str) -> &'a str {
    files.iter().find(|(known, _)| known == name).map_or("", |(_, text)| text.as_str())
}

#[test]
fn comments_go_with_what_they_stand_above() {
    let text = "\
# The log
log-file /var/log/x   # behind
#log-file /var/log/y

# Who reads complaints
postmaster a@b.example
<spool /data>
  # not below
  min-free-space 1G
</spool>

domain-macro isp a.example,
  # more
  b.example
total-max-smtp-in 5
smtp-server-tls-certificate /etc/c/a.pem
# the end
";
    let (files, told) = split_up(&[("/etc/c/config", text)]);
    let body = |name| file(&files, name).split_once('\n').unwrap().1.to_owned();
    assert_eq!(
        body(NODE_FILE),
        "# The log\nlog-file /var/log/x   # behind\n#log-file /var/log/y\n<spool /data>\n  # not below\n  \
         min-free-space 1G\n</spool>\nsmtp-server-tls-certificate /etc/c/a.pem\n"
    );
    assert_eq!(
        body(CLUSTER_FILE),
        "\n# Who reads complaints\npostmaster a@b.example\n\ndomain-macro isp a.example,\n  \
         # more\n  b.example\ntotal-max-smtp-in 5\n# the end\n"
    );
    assert_eq!(
        told,
        [
            "node.conf: log-file, <spool>, smtp-server-tls-certificate",
            "cluster.conf: postmaster, domain-macro, total-max-smtp-in",
        ]
    );
}

#[test]
fn included_files_stay_whole_unless_they_belong_to_both() {
    let (files, told) = split_up(&[
        ("/etc/c/config", "include shared.conf\ninclude d/*.conf\ninclude /opt/isp.conf\n"),
        ("/etc/c/shared.conf", "<domain *>\ninclude ../up.conf\n</domain>\n"),
        ("/etc/up.conf", "max-smtp-out 3\n"),
        ("/etc/c/d/1.conf", "# own\nlog-file l\n"),
        ("/etc/c/d/2.conf", "# both\nsmtp-listener 127.0.0.1:25\ninclude 3.txt\n"),
        ("/etc/c/d/3.txt", "postmaster a@b.example\n"),
        ("/opt/isp.conf", "relay-domain x.example\n"),
    ]);
    let node = file(&files, NODE_FILE);
    assert!(node.contains("include d/1.conf\n"), "{node}");
    assert!(node.contains("# from d/2.conf\n# both\nsmtp-listener 127.0.0.1:25\n"), "{node}");
    let cluster = file(&files, CLUSTER_FILE);
    assert!(cluster.contains("include shared.conf\n"), "{cluster}");
    assert!(cluster.contains("# from d/2.conf\ninclude d/3.txt\n"), "{cluster}");
    assert!(cluster.contains("include /opt/isp.conf\n"), "{cluster}");
    assert_eq!(file(&files, "d/1.conf"), "# own\nlog-file l\n");
    assert_eq!(file(&files, "shared.conf"), "<domain *>\ninclude /etc/up.conf\n</domain>\n");
    assert!(file(&files, "d/2.conf").is_empty(), "{told:?}");
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["node.conf", "cluster.conf", "d/1.conf", "d/3.txt", "shared.conf"]);
}

#[test]
fn a_listener_in_a_shared_section_is_cut_out() {
    let text = "log-file l\n<transmissions-api>\napi-key k\n<transmissions-api-listener \
                10.0.0.1:8443>\ntls-certificate a.pem\n</transmissions-api-listener>\n\
                log-data yes\n</transmissions-api>\n";
    let (files, _) = split_up(&[("/etc/c/config", text)]);
    assert!(file(&files, NODE_FILE).contains(
        "<transmissions-api-listener 10.0.0.1:8443>\ntls-certificate a.pem\n</transmissions-api-"
    ));
    assert!(
        file(&files, CLUSTER_FILE)
            .contains("<transmissions-api>\napi-key k\nlog-data yes\n</transmissions-api>\n")
    );
}

#[test]
fn a_file_with_errors_is_not_split() {
    let files = MemoryFiles::default().with("/c", "nonsense 1\n");
    let errors = split(Path::new("/c"), &files).unwrap_err();
    assert!(errors[0].message.contains("unknown directive"));
    let named = MemoryFiles::default()
        .with("/e/c", "include cluster.conf\n")
        .with("/e/cluster.conf", "postmaster a@b.example\n");
    let errors = split(Path::new("/e/c"), &named).unwrap_err();
    assert!(errors[0].message.contains("rename it first"), "{}", errors[0]);
}

/// All that a configuration says, without positions.
fn meaning(config: &Config) -> String {
    let queues = config.rules.domains.representatives();
    let shown = queues.iter().map(|(domain, vmta)| {
        let settings = config.show_settings(domain, vmta).into_iter();
        settings
            .map(|(name, value, _)| format!("{domain}/{vmta} {name} {value}\n"))
            .collect::<String>()
    });
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list.join("\n")
    };
    let clients = config
        .source_networks()
        .into_iter()
        .map(|net| format!("{net} {:?}", config.source(net.addr(), None, None)));
    [
        format!("{:?}", config.server),
        format!("{:?}", config.listeners),
        sorted(config.users.values().map(|u| format!("{u:?}")).collect()),
        sorted(config.vmtas.values().map(|v| format!("{v:?}")).collect()),
        sorted(config.pools.values().map(|p| format!("{p:?}")).collect()),
        format!("{:?}", config.acct_files),
        shown.collect::<String>(),
        sorted(clients.collect()),
    ]
    .join("\n----\n")
}

#[test]
fn a_split_configuration_means_the_same() {
    let samples = [
        include_str!("../fixtures/accounting.conf").to_owned(),
        include_str!("../fixtures/proxy.conf").to_owned(),
        include_str!("../fixtures/sink.conf").to_owned(),
        include_str!("../fixtures/submission.conf")
            .replace("## YOUR", "\"YOUR")
            .replace(" HERE ##", " HERE\""),
    ];
    for text in &samples {
        let text = text.as_str();
        let whole = good(text);
        let (files, told) = split_up(&[("/etc/c/config", text)]);
        let shared = [("cluster.conf", file(&files, CLUSTER_FILE))];
        let parts = loaded(file(&files, NODE_FILE), &shared, None);
        let taken: Vec<_> = parts.diagnostics.iter().filter(|d| d.is_error()).collect();
        let config = parts.config.unwrap_or_else(|| panic!("{told:?} {taken:?}"));
        assert_eq!(meaning(&config), meaning(&whole));
        let passed_over = |d: &&Diagnostic| d.message.contains("is taken from");
        assert!(!parts.diagnostics.iter().any(|d| passed_over(&d)), "{told:?}");
    }
}
