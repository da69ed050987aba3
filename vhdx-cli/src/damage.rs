//! Describes a damaged file: which of its structures are sound, and what can still be done.

use std::path::Path;

use serde_json::{Value, json};
use vhdx::{Rule, Survey, SurveyedBat, SurveyedLog};

use crate::sizes::human;

/// The damage of a file that cannot be used, and the structures that are still sound.
pub(crate) struct Damage {
    kind: Kind,
    survey: Survey,
}

/// The part of a file that is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Headers,
    Log,
    RegionTables,
    /// Blocks lie past the end of the file.
    Blocks,
    /// A structure that every command needs lies past the end of the file.
    CutStructure,
}

impl Kind {
    fn of(rule: Rule) -> Option<Self> {
        Some(match rule {
            Rule::NoCurrentHeader | Rule::HeadersAmbiguous => Kind::Headers,
            Rule::LogNoActiveSequence => Kind::Log,
            Rule::NoRegionTable => Kind::RegionTables,
            Rule::BlockPastEnd => Kind::Blocks,
            Rule::Truncated | Rule::RegionPastEnd | Rule::LogTruncatedFile => Kind::CutStructure,
            _ => return None,
        })
    }
}

impl Damage {
    /// Returns the damage of the file at `path`, which breaks `rule`. `None` if the rule says all that is known.
    pub(crate) fn of(path: &Path, rule: Rule) -> Option<Self> {
        let kind = Kind::of(rule)?;
        // If the file cannot be opened again, the error that is already reported says more than that.
        let survey = Survey::open(path).ok()?;
        Some(Self { kind, survey })
    }

    /// Returns what is lost, which structures are sound, and what can be done.
    pub(crate) fn hint(&self) -> String {
        format!("{}; {}. {}", self.fact(), self.inventory(), self.advice())
    }

    fn fact(&self) -> String {
        match (self.kind, &self.survey.bat) {
            (Kind::Headers, _) => {
                "no header can be used, so it is not known whether the log contains changes that are \
                 missing in the rest of the file"
                    .to_owned()
            }
            (Kind::Log, _) => {
                "the header says that the log contains changes, but none of them can be read: the newest \
                 changes may be lost"
                    .to_owned()
            }
            (Kind::RegionTables, _) => {
                "no region table can be used, so the places of the BAT and the metadata are not known"
                    .to_owned()
            }
            (Kind::Blocks, Some(bat)) if bat.bytes_past_end > 0 => past_end(bat),
            (Kind::Blocks | Kind::CutStructure, _) => format!(
                "the file ends after {} bytes, before the end of a structure that it needs: the copy was probably cut \
                 short",
                self.survey.file_len
            ),
        }
    }

    /// Returns the names of the sound structures and of the damaged ones.
    fn inventory(&self) -> String {
        let Survey { headers, log, region_tables, metadata, .. } = &self.survey;
        let log_is_sound = *log != SurveyedLog::Damaged;
        let bat_is_sound = self.survey.bat.is_some_and(|bat| bat.is_sound);
        let parts = [
            ("header 1", headers[0]),
            ("header 2", headers[1]),
            ("log", log_is_sound),
            ("region table 1", region_tables[0]),
            ("region table 2", region_tables[1]),
            ("metadata", *metadata),
            ("BAT", bat_is_sound),
        ];
        let is_known = |name| *log != SurveyedLog::Unknown || name != "log";
        let list = |wanted| {
            let of_state = parts.iter().filter(|(name, is_sound)| *is_sound == wanted && is_known(*name));
            let names: Vec<&str> = of_state.map(|(name, _)| *name).collect();
            names.join(", ")
        };
        let blocks = self.survey.bat.map(|bat| format!(" ({} blocks)", bat.blocks)).unwrap_or_default();
        let (sound, damaged) = (list(true), list(false));
        let lists = [("still valid", sound + &blocks), ("damaged or not found", damaged)];
        let lists = lists.iter().filter(|(_, names)| !names.is_empty());
        lists.map(|(state, names)| format!("{state}: {names}")).collect::<Vec<_>>().join("; ")
    }

    fn advice(&self) -> &'static str {
        match self.kind {
            Kind::Blocks | Kind::CutStructure => {
                "Copy the file again from its source, or restore it from a backup. vhdx cannot restore the data past \
                 the end of the file"
            }
            Kind::Headers | Kind::Log | Kind::RegionTables => {
                "Copy the file again from its source, or restore it from a backup. vhdx cannot repair this yet. The \
                 data blocks may be intact: keep this file unchanged until you have a working copy"
            }
        }
    }

    /// Returns the damage as JSON.
    pub(crate) fn json(&self) -> Value {
        let Survey { file_len, headers, log, region_tables, metadata, bat, .. } = &self.survey;
        json!({
            "file_size": file_len,
            "headers": headers,
            "log": log.name(),
            "region_tables": region_tables,
            "metadata": metadata,
            "bat": bat.map(|bat| bat.is_sound),
            "blocks": bat.map(|bat| bat.blocks),
            "blocks_past_end": bat.map(|bat| bat.blocks_past_end),
            "bytes_past_end": bat.map(|bat| bat.bytes_past_end),
        })
    }
}

fn past_end(bat: &SurveyedBat) -> String {
    let SurveyedBat { is_sound, blocks, blocks_past_end, bytes_past_end, .. } = *bat;
    let cause = match is_sound {
        true => "the copy was probably cut short",
        false => "the copy was cut short, or the BAT is damaged: `vhdx check` lists the broken entries",
    };
    format!(
        "{bytes_past_end} bytes of blocks lie past the end of the file ({}, {blocks_past_end} of {blocks} blocks): \
         {cause}",
        human(bytes_past_end)
    )
}
