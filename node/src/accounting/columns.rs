//! From the field lists of a configuration to the columns of a file.

use super::fields;
use crate::config::settings::FieldItem;
use crate::message::RecordType;

/// Prefix of columns that hold a message header.
pub(crate) const HEADER_PREFIX: &str = "header_";

/// Columns of rows of `kind`, in order, `type` first: what `record-fields` means.
///
/// `*` leaves out what a `!name` before it removed, and `!name` removes what stands before it. A
/// list that only removes starts from `*`. Names of fields come back in their own spelling; names
/// of headers stay as configured, so that spellings that differ in case are different columns.
pub(crate) fn resolve(kind: RecordType, items: &[FieldItem]) -> Vec<String> {
    let mut columns = Selection { names: vec!["type".to_owned()], removed: Vec::new() };
    let removes_only = items.iter().all(|item| matches!(item, FieldItem::Without(_)));
    if removes_only {
        columns.add_defaults(kind);
    }
    for item in items {
        match item {
            FieldItem::Default => columns.add_defaults(kind),
            FieldItem::Without(name) => columns.remove(name),
            FieldItem::Named(name) => columns.add(&spelled(name)),
        }
    }
    columns.names
}

struct Selection<'a> {
    names: Vec<String>,
    removed: Vec<&'a str>,
}

impl<'a> Selection<'a> {
    fn add_defaults(&mut self, kind: RecordType) {
        for name in fields::default_columns(kind) {
            if !self.removed.iter().any(|r| r.eq_ignore_ascii_case(name)) {
                self.add(name);
            }
        }
    }

    fn add(&mut self, name: &str) {
        if !self.names.iter().any(|n| n == name) {
            self.names.push(name.to_owned());
        }
    }

    fn remove(&mut self, name: &'a str) {
        self.removed.push(name);
        self.names.retain(|n| n == "type" || !n.eq_ignore_ascii_case(name));
    }
}

fn spelled(name: &str) -> String {
    fields::find(name).map_or_else(|| name.to_owned(), |field| field.name.to_owned())
}

/// Columns of a file that holds several types: those of the first type, then what the next ones
/// add, each in its order.
pub(crate) fn union<'a>(types: impl IntoIterator<Item = &'a [String]>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in types.into_iter().flatten() {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a field list as the configuration writes it.
    fn items(list: &str) -> Vec<FieldItem> {
        list.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| match item.strip_prefix('!') {
                Some(name) => FieldItem::Without(name.to_owned()),
                None if item == "*" => FieldItem::Default,
                None => FieldItem::Named(item.to_owned()),
            })
            .collect()
    }

    fn header(types: &[(&str, &str)]) -> String {
        let columns: Vec<Vec<String>> = types
            .iter()
            .map(|(kind, list)| resolve(RecordType::parse(kind).unwrap(), &items(list)))
            .collect();
        union(columns.iter().map(Vec::as_slice)).join(",")
    }

    const DBT: &str = "type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,\
        dsnMta,bounceCat,srcType,srcMta,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,\
        dlvSize,vmta,jobId,envId,queue,vmtaPool";

    #[test]
    fn default_header_of_each_type() {
        let check = |kind: &str, expected: &str| assert_eq!(header(&[(kind, "*")]), expected);
        check("d", DBT);
        check("b", DBT);
        check("t", DBT);
        check(
            "tq",
            "type,timeLogged,dsnStatus,dsnDiag,dsnMta,dlvType,dlvSourceIp,dlvDestinationIp,vmta,\
             queue",
        );
        check(
            "r",
            "type,timeLogged,orig,rcpt,orcpt,srcType,srcMta,rcvSourceIp,rcvDestinationIp,vmta,\
             jobId,envId,vmtaPool",
        );
        check(
            "rb",
            "type,timeLogged,orig,rcpt,orcpt,dsnStatus,dsnDiag,dsnMta,dsnReportingMta,bounceCat,\
             srcType,srcMta,envId,format",
        );
        check(
            "rs",
            "type,timeLogged,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,dsnReportingMta,\
             bounceCat,srcType,srcMta,envId",
        );
        check(
            "f",
            "type,timeLogged,repSourceIp,feedbackType,format,userAgent,envId,orig,rcpt,\
             reportingMta,dlvSourceIp,reportedDomain,header_From,header_Return-Path,header_X-job,\
             header_Subject",
        );
    }

    #[test]
    fn lists_are_read_in_order() {
        let check = |list: &str, expected: &str| assert_eq!(header(&[("tq", list)]), expected);
        let all =
            "timeLogged,dsnStatus,dsnDiag,dsnMta,dlvType,dlvSourceIp,dlvDestinationIp,vmta,queue";
        check("", &format!("type,{all}"));
        check("queue, VMTA", "type,queue,vmta");
        check("type,queue,type", "type,queue");
        check("!type,vmta", "type,vmta");
        check("queue,*", &format!("type,queue,{}", all.trim_end_matches(",queue")));
        check("*,!queue,!VMTA", &format!("type,{}", all.trim_end_matches(",vmta,queue")));
        check("!queue,*", &format!("type,{}", all.trim_end_matches(",queue")));
        check("!queue", &format!("type,{}", all.trim_end_matches(",queue")));
        check("*,!queue,queue", &format!("type,{all}"));
        check("*,!noSuchField,userString", &format!("type,{all},userString"));
    }

    #[test]
    fn headers_keep_their_spelling_and_their_positions() {
        let list = "*, header_subject, header_BatchId, header_Message-Id, header_List-Unsubscribe";
        let line = header(&[("f", list)]);
        let columns: Vec<&str> = line.split(',').collect();
        let check = |position: usize, expected: &str| assert_eq!(columns[position], expected);
        check(4, "format");
        check(5, "userAgent");
        check(7, "orig");
        check(8, "rcpt");
        check(11, "reportedDomain");
        check(12, "header_From");
        check(15, "header_Subject");
        check(16, "header_subject");
        check(19, "header_List-Unsubscribe");
    }

    #[test]
    fn the_first_type_comes_first_and_others_append() {
        let check = |types: &[(&str, &str)], expected: &str| assert_eq!(header(types), expected);
        check(
            &[("d", "timeLogged,orig,rcpt,dlvSourceIp"), ("b", "timeLogged,orig,rcpt,bounceCat")],
            "type,timeLogged,orig,rcpt,dlvSourceIp,bounceCat",
        );
        check(&[("d", "*"), ("b", "*"), ("t", "*"), ("tq", "*")], DBT);
        check(
            &[("d", "*,dlvTlsProtocol,dlvTlsCipher"), ("r", "*")],
            &format!("{DBT},dlvTlsProtocol,dlvTlsCipher,rcvSourceIp,rcvDestinationIp"),
        );
        check(
            &[("b", "*,header_X-Id"), ("rb", "*")],
            &format!("{DBT},header_X-Id,dsnReportingMta,format"),
        );
    }
}
