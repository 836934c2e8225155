// SPDX-License-Identifier: GPL-2.0
//! `incidents`: the recent incidents as a table, or one with all that is known.

use crate::{
    incident::{Incident, Nanos},
    netlink::Connection,
    style,
};
use anyhow::Result;
use comfy_table::{presets, CellAlignment, ContentArrangement, Table};
use std::io::Write;

/// Shows the recent incidents, the newest first, or those with these ids.
///
/// # Errors
///
/// If the module is not loaded, or there is none with an id.
pub(crate) fn run(ids: &[u64], json: bool, only_on: bool, out: &mut dyn Write) -> Result<()> {
    let mut connection = Connection::to_module()?;
    if !ids.is_empty() {
        for (number, &id) in ids.iter().enumerate() {
            let incident = connection.incident(id)?;
            if json {
                writeln!(out, "{}", serde_json::to_string(&incident)?)?;
            } else {
                if number > 0 {
                    writeln!(out)?;
                }
                one(&incident, out)?;
            }
        }
        return Ok(());
    }
    let mut incidents = connection.incidents()?;
    incidents.retain(|incident| !only_on || incident.is_on());
    incidents.sort_by_key(|incident| std::cmp::Reverse(incident.id));
    if json {
        writeln!(out, "{}", serde_json::to_string(&incidents)?)?;
    } else if incidents.is_empty() {
        writeln!(out, "no incidents")?;
    } else {
        table(&incidents, out)?;
    }
    Ok(())
}

fn table(incidents: &[Incident], out: &mut dyn Write) -> Result<()> {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "ID",
            "KIND",
            "FOUND",
            "STATE",
            "CPU",
            "BEHIND",
            "WHAT",
            "WAITS FOR",
            "CGROUP",
        ]);
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for incident in incidents {
        table.add_row([
            incident.id.to_string(),
            incident.kind.to_string(),
            or_dash(incident.wall.map(|wall| wall.to_string())),
            incident.state(),
            or_dash(incident.cpu.map(|cpu| cpu.to_string())),
            or_dash(incident.behind.map(|behind| behind.to_string())),
            or_dash(incident.task.as_ref().map(ToString::to_string)),
            incident.cause(),
            or_dash(incident.cgroup.clone()),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        // The text before and behind each column is one blank: none in front of the first.
        column.set_padding((u16::from(index > 0), 1));
        if matches!(index, 4 | 5) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // A row is a line: nothing is wrapped.
    let styles = incidents.iter().map(|incident| match incident.is_on() {
        true => style::BAD,
        false => anstyle::Style::new(),
    });
    let styles = std::iter::once(style::HEAD).chain(styles);
    for (line, style) in table.to_string().lines().zip(styles) {
        writeln!(out, "{style}{}{style:#}", line.trim_end())?;
    }
    Ok(())
}

/// One with all that is known.
pub(crate) fn one(incident: &Incident, out: &mut dyn Write) -> Result<()> {
    let style = if incident.is_on() {
        style::BAD
    } else {
        style::HEAD
    };
    writeln!(
        out,
        "{style}{}: {}{style:#}",
        incident.kind,
        incident.subject()
    )?;
    let stamp = |time: Nanos| format!("[{:12.6}]", time.secs());
    let mut fact = |name: &str, value: Option<String>| -> Result<()> {
        match value {
            Some(value) => Ok(writeln!(out, "  {name:<10} {value}")?),
            None => Ok(()),
        }
    };
    fact("id", (incident.id != 0).then(|| incident.id.to_string()))?;
    fact("state", incident.age.map(|_| incident.state()))?;
    fact("began", incident.began.map(stamp))?;
    let found = incident.found.map(|found| {
        let at = incident
            .wall
            .map_or_else(String::new, |wall| format!(", {wall}"));
        let by = incident
            .finder
            .map_or_else(String::new, |cpu| format!(", by CPU{cpu}"));
        format!("{}{at}{by}", stamp(found))
    });
    fact("found", found)?;
    fact("ended", incident.ended.map(stamp))?;
    fact("cpu", incident.cpu.map(|cpu| cpu.to_string()))?;
    fact("task", incident.task.as_ref().map(ToString::to_string))?;
    fact("ns pid", incident.ns_pid.map(|pid| pid.to_string()))?;
    fact("cgroup", incident.cgroup.clone())?;
    fact("lock", incident.lock.as_ref().map(ToString::to_string))?;
    fact(
        "waits for",
        incident.culprit.as_ref().map(ToString::to_string),
    )?;
    fact("behind", incident.behind.map(|behind| behind.to_string()))?;
    let flags: Vec<&str> = incident.flags.names().collect();
    fact("flags", (!flags.is_empty()).then(|| flags.join(", ")))?;
    for (number, frame) in incident.stack.iter().enumerate() {
        let name = if number == 0 { "stack" } else { "" };
        let address = frame.address.map(|address| address.to_string());
        fact(name, frame.symbol.clone().or(address))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{tests::full, Kind};

    fn plain(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
    }

    #[test]
    fn columns_are_below_each_other() {
        let other = Incident {
            cpu: Some(12),
            age: Some(Nanos(61_500_000_000)),
            ..Incident::new(9, Kind::HardLockup)
        };
        let text = plain(|out| table(&[full(), other], out));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        for (name, values) in [
            ("KIND", ["root-cause", "hard-lockup"]),
            ("STATE", ["exited after 2.0 s", "on, 61.5 s"]),
            ("WHAT", ["prov_sem_o/1:133", "-"]),
            ("CGROUP", ["/kubepods/pod1/a b", "-"]),
        ] {
            let column = lines[0].find(name).unwrap();
            for (line, value) in lines[1..].iter().zip(values) {
                assert!(line[column..].starts_with(value), "{name}: {text}");
            }
        }
        assert!(lines[0].starts_with("ID"), "{text}");
    }

    #[test]
    fn one_has_its_stack() {
        let text = plain(|out| one(&full(), out));
        assert!(
            text.starts_with("root-cause: prov_sem_o/1:133\n  id         3222260\n"),
            "{text}"
        );
        assert!(text.contains("\n  flags      confirmed, panic\n"), "{text}");
        assert!(
            text.ends_with("\n  stack      __schedule+0x52a/0x1080\n"),
            "{text}"
        );
    }
}
