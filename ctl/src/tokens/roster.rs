//! The list of devices to take in, as people keep it in a spreadsheet.
//!
//! CSV with a header row; the parting sign is the comma, the semicolon or the tab, whichever the header has. All rows
//! are read before anything is made, and every bad one is named by its line. Unknown columns are refused, because a
//! mistyped name would silently lose what it holds. Read next: [`super::bulk`].

use std::collections::BTreeMap;
use std::path::Path;

use cordon_proto::ids::{Sha256, Text};
use cordon_server_core::device::DeviceKind;
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::failure::Failure;
use crate::report::plain;

/// Bytes of a list.
const LIST_BYTES: u64 = 16 * 1024 * 1024;
/// Rows of a list.
const ROWS: usize = 20_000;
/// Bad rows that are named one by one.
const NAMED: usize = 20;
/// The columns that are known.
const COLUMNS: [&str; 7] = ["serial", "model", "manufacturer", "site", "ward", "kind", "tags"];
/// Bytes of a file name, of those that file systems allow.
const NAME_BYTES: usize = 180;

/// One device of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its line in the file.
    pub(super) line: u64,
    /// Its maker's number.
    pub(super) serial: Text,
    /// Its model.
    pub(super) model: Text,
    /// What the row says beside that, by column.
    pub(super) fields: BTreeMap<&'static str, String>,
}

impl Row {
    /// The row's own part of what is asked of the server.
    pub(super) fn body(&self) -> BTreeMap<&'static str, Value> {
        let mut body: BTreeMap<_, _> =
            BTreeMap::from([("serial", json!(self.serial.as_str())), ("model", json!(self.model.as_str()))]);
        for (name, value) in &self.fields {
            let value = match *name {
                "tags" => json!(tags(value).collect::<Vec<_>>()),
                _ => json!(value),
            };
            body.insert(name, value);
        }
        body
    }

    /// A file name that no serial can lead out of its folder: other characters are written by their bytes.
    pub(super) fn file(&self) -> String {
        let mut name = String::new();
        for byte in self.serial.as_str().bytes() {
            let dot = byte == b'.' && !name.is_empty();
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || dot {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("%{byte:02X}"));
            }
        }
        if name.len() > NAME_BYTES {
            let digest = Sha256::of(self.serial.as_str().as_bytes()).to_string();
            let head: String = name.chars().take(NAME_BYTES / 2).collect();
            name = format!("{head}~{digest}");
        }
        format!("{name}.join")
    }
}

/// Reads a list; `model` stands for rows that name none.
///
/// # Errors
/// The file cannot be read, has no serials, or any of its rows is bad.
pub(super) fn read(path: &Path, model: Option<&str>) -> Result<Vec<Row>, Failure> {
    let bytes = read_file(path, LIST_BYTES)?;
    parse(&bytes, model).map_err(|faults| {
        let more = faults.len().saturating_sub(NAMED);
        let mut detail = format!("{}: nothing was made. ", path.display());
        detail += &faults.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        if more > 0 {
            detail += &format!("; and {more} more");
        }
        Failure::refused("bad list", detail)
    })
}

/// Reads the bytes of a list; every fault with its line.
fn parse(bytes: &[u8], model: Option<&str>) -> Result<Vec<Row>, Vec<String>> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| vec!["the file is not in UTF-8: save it as \"CSV UTF-8\"".to_owned()])?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().next().unwrap_or_default();
    let parting = [b';', b'\t'].into_iter().find(|sign| head.as_bytes().contains(sign)).unwrap_or(b',');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(parting).trim(csv::Trim::All).from_reader(text.as_bytes());
    let columns = columns(reader.headers().map_err(|error| vec![error.to_string()])?)?;
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    let mut seen = BTreeMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                faults.push(format!("line {line}: it has another number of columns than the header row"));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match row(&columns, &record, model, line) {
            Ok(None) => {}
            Ok(Some(row)) => match seen.insert(row.serial.clone(), line) {
                Some(first) => {
                    faults.push(format!("line {line}: serial {} stands in line {first} already", row.serial));
                }
                None => rows.push(row),
            },
            Err(fault) => faults.push(format!("line {line}: {fault}")),
        }
    }
    if rows.len() > ROWS {
        faults.push(format!("a list has at most {ROWS} rows: split it"));
    }
    if rows.is_empty() && faults.is_empty() {
        faults.push("there is no row under the header row".to_owned());
    }
    if faults.is_empty() { Ok(rows) } else { Err(faults) }
}

/// The known columns of a header row, in its order.
fn columns(head: &csv::StringRecord) -> Result<Vec<&'static str>, Vec<String>> {
    let mut columns = Vec::new();
    for name in head {
        let lower = name.to_lowercase();
        let known = COLUMNS.into_iter().find(|known| *known == lower);
        let known = known.ok_or_else(|| {
            vec![format!(
                "line 1: there is no column `{}`; the header row may have {}",
                plain(name),
                COLUMNS.join(", ")
            )]
        })?;
        if columns.contains(&known) {
            return Err(vec![format!("line 1: the column `{known}` stands there twice")]);
        }
        columns.push(known);
    }
    if columns.contains(&"serial") {
        return Ok(columns);
    }
    Err(vec!["line 1: the header row has no column `serial`".to_owned()])
}

/// One row; none if it is blank.
fn row(
    columns: &[&'static str],
    record: &csv::StringRecord,
    model: Option<&str>,
    line: u64,
) -> Result<Option<Row>, String> {
    let mut fields: BTreeMap<&'static str, String> = columns
        .iter()
        .zip(record)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (*name, value.to_owned()))
        .collect();
    if fields.is_empty() {
        return Ok(None);
    }
    for (name, value) in &fields {
        let parts: Vec<&str> = if *name == "tags" { tags(value).collect() } else { vec![value] };
        for part in parts {
            part.parse::<Text>().map_err(|error| format!("{name}: {error}"))?;
        }
    }
    if let Some(kind) = fields.get("kind") {
        serde_json::from_value::<DeviceKind>(json!(kind)).map_err(|error| format!("kind: {error}"))?;
    }
    let text = |value: &str| value.parse::<Text>().map_err(|error| error.to_string());
    let serial = text(&fields.remove("serial").ok_or("it has no serial")?)?;
    let model = fields.remove("model").or_else(|| model.map(str::to_owned));
    let model = text(&model.ok_or("it has no model: give --model, or fill the column")?)?;
    Ok(Some(Row { line, serial, model, fields }))
}

fn tags(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', ',', '|']).map(str::trim).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        parse(text.as_bytes(), Some("VP-3")).unwrap_err().join("; ")
    }

    #[test]
    fn lists_are_read_as_spreadsheets_write_them() {
        // Goal: what people export is understood. Method: comma, semicolon with byte order mark, tab, quotes, blanks.
        let rows = parse("Serial,Ward,tags\r\n 1 ,\"4B, east\",a|b\r\n\r\n2,,\r\n".as_bytes(), Some("VP-3"))
            .unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].serial.as_str(), rows[0].fields["ward"].as_str()), ("1", "4B, east"));
        assert_eq!(rows[0].body()["tags"], json!(["a", "b"]));
        assert!(rows[1].fields.is_empty());
        let rows = parse("\u{feff}serial;model\n1;K-1\n".as_bytes(), Some("VP-3")).unwrap();
        assert_eq!(rows[0].model.as_str(), "K-1");
        assert_eq!(parse(b"serial\tkind\n1\tkiosk\n", Some("VP-3")).unwrap()[0].fields["kind"], "kiosk");
    }

    #[test]
    fn every_bad_row_is_named_by_its_line_and_nothing_is_taken() {
        // Goal: one look at the message repairs the list. Method: each fault.
        assert_eq!(
            faults("serial,kind\n1,kiosk\n1,kiosk\n,kiosk\n2,toaster\n3,kiosk,x\n"),
            "line 3: serial 1 stands in line 2 already; line 4: it has no serial; line 5: kind: unknown variant \
             `toaster`, expected one of `infusion-pump`, `patient-monitor`, `ventilator`, `anaesthesia-machine`, \
             `dialysis-machine`, `defibrillator`, `imaging-workstation`, `laboratory-analyser`, `kiosk`, `gateway`, \
             `workstation`, `other`; line 6: it has another number of columns than the header row"
        );
        assert!(faults("seria\n1\n").starts_with("line 1: there is no column `seria`"));
        assert!(faults("model\nK-1\n").contains("no column `serial`"));
        assert!(faults("serial,serial\n1,2\n").contains("twice"));
        assert_eq!(faults("serial\n"), "there is no row under the header row");
        assert!(parse(b"serial\n1\n", None).unwrap_err()[0].contains("it has no model"));
        assert!(faults(&format!("serial\n{}\n", "x".repeat(300))).starts_with("line 2: serial: "));
        assert!(parse(&[0xff, 0xfe, 0x41], None).unwrap_err()[0].contains("UTF-8"));
    }

    #[test]
    fn no_serial_leads_out_of_its_folder() {
        // Goal: a list from elsewhere writes only into its folder, and two serials never into one file. Method:
        // hostile serials, and one that is too long for a file name.
        let file = |serial: &str| {
            let model = "VP-3".parse().unwrap();
            Row { line: 2, serial: serial.parse().unwrap(), model, fields: BTreeMap::new() }.file()
        };
        assert_eq!(file("VP3-0044.17"), "VP3-0044.17.join");
        assert_eq!(file("../../etc/x"), "%2E.%2F..%2Fetc%2Fx.join");
        assert_eq!(file("a b%"), "a%20b%25.join");
        let long = file(&"ü".repeat(120));
        assert!(long.len() < 255 && long != file(&"ü".repeat(121)), "{long}");
    }
}
