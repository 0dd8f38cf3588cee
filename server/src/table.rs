//! Tables as people's spreadsheets write them: commas, semicolons or tabs, quotes, and a first row of names.
//!
//! Only the splitting is done here; what the cells mean is decided in the ground. Read next:
//! `cordon_server_core::feeds::asset`.

/// Why bytes are no table.
#[derive(Debug, thiserror::Error)]
pub enum NoTable {
    /// Another encoding.
    #[error("it is not in UTF-8: save it as \"CSV UTF-8\"")]
    Encoding,
    /// A quote that nobody closed, and the like.
    #[error("it cannot be split into rows: {0}")]
    Form(#[from] csv::Error),
}

/// Hands on each row of a table, cells trimmed, until `take` says no.
pub fn rows<E: From<NoTable>>(bytes: &[u8], mut take: impl FnMut(&[&str]) -> Result<(), E>) -> Result<(), E> {
    let text = std::str::from_utf8(bytes).map_err(|_| NoTable::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let parting = [b';', b'\t'].into_iter().find(|sign| head.as_bytes().contains(sign)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(parting)
        .trim(csv::Trim::All)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(NoTable::Form)? {
        let cells: Vec<&str> = record.iter().collect();
        take(&cells)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_every_spreadsheet_are_split_alike() {
        // Goal: the export of any program. Method: the same rows with each sign, a mark at the beginning, quotes.
        let read = |text: &str| {
            let mut all = Vec::new();
            let done = rows(text.as_bytes(), |cells| {
                all.push(cells.join("|"));
                Ok::<_, NoTable>(())
            });
            done.map(|()| all).map_err(|error| error.to_string())
        };
        let wanted = Ok(vec!["model|ward".to_owned(), "MX40|ICU, 2".to_owned()]);
        assert_eq!(read("\u{feff}model,ward\r\n MX40 ,\"ICU, 2\"\r\n"), wanted);
        assert_eq!(read("model;ward\nMX40;ICU, 2"), wanted);
        assert_eq!(read("model\tward\nMX40\tICU, 2"), wanted);
        let other = rows(b"mod\xe8le", |_| Ok::<_, NoTable>(()));
        assert!(other.is_err_and(|error| error.to_string().contains("UTF-8")));
    }
}
