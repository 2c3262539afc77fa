//! Where loophost differs on purpose.

use std::fs;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::recorded::{Trace, folder};

/// What loophost does instead.
#[derive(Debug)]
pub(crate) struct Deviation {
    scenarios: Vec<String>,
    /// `None`: all that have the scenario.
    versions: Option<Vec<String>>,
    pub(crate) ours: Trace,
    /// Whether it depends on the kernel, so that there may be none.
    pub(crate) may_agree: bool,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Deviations {
    list: Vec<Deviation>,
    /// Scenarios that make no sense here.
    absent: Vec<String>,
}

impl Deviations {
    /// Reads the file.
    ///
    /// # Panics
    /// It says something else than it should.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(folder().join("deviations.toml")).unwrap();
        let table = DeTable::parse(&text).unwrap();
        let Value::Object(file) = json(&DeValue::Table(table.into_inner())) else { unreachable!() };
        assert!(file.keys().all(|key| ["deviation", "absent"].contains(&&**key)), "{:?}", file.keys());
        let entries = |key| file[key].as_array().unwrap().iter().map(|entry| entry.as_object().unwrap());
        Self {
            list: entries("deviation").map(Deviation::read).collect(),
            absent: entries("absent")
                .flat_map(|entry| {
                    has_reason(entry);
                    texts(&entry["scenarios"])
                })
                .collect(),
        }
    }

    /// The deviation of a scenario in a version.
    pub(crate) fn of(&self, scenario: &str, version: &str) -> Option<&Deviation> {
        let mut found = self.list.iter().filter(|deviation| deviation.is_of(scenario, version));
        let first = found.next();
        assert!(found.next().is_none(), "{scenario} in {version} has two deviations");
        first
    }

    /// Whether the scenario makes no sense here.
    pub(crate) fn is_absent(&self, scenario: &str) -> bool {
        self.absent.iter().any(|absent| absent == scenario)
    }

    /// All scenarios that are named, and in which versions; `None` is any.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.list.iter().flat_map(|deviation| {
            let versions: Vec<_> = match &deviation.versions {
                Some(versions) => versions.iter().map(|version| Some(&**version)).collect(),
                None => vec![None],
            };
            let pairs = move |name| versions.clone().into_iter().map(move |version| (name, version));
            deviation.scenarios.iter().flat_map(move |name| pairs(&**name))
        })
    }

    /// The scenarios that are said to make no sense here.
    pub(crate) fn absent(&self) -> impl Iterator<Item = &str> {
        self.absent.iter().map(|name| &**name)
    }
}

impl Deviation {
    fn read(entry: &Map<String, Value>) -> Self {
        has_reason(entry);
        let versions = match &entry["versions"] {
            Value::String(all) if all == "all" => None,
            versions => Some(texts(versions)),
        };
        Self {
            scenarios: texts(&entry["scenarios"]),
            versions,
            ours: entry["ours"].as_array().unwrap().clone(),
            may_agree: entry.get("may_agree").is_some_and(|value| value.as_bool().unwrap()),
        }
    }

    fn is_of(&self, scenario: &str, version: &str) -> bool {
        self.scenarios.iter().any(|name| name == scenario)
            && self.versions.as_ref().is_none_or(|versions| versions.iter().any(|name| name == version))
    }
}

fn has_reason(entry: &Map<String, Value>) {
    assert!(
        entry.get("reason").and_then(Value::as_str).is_some_and(|reason| !reason.is_empty()),
        "{entry:?}"
    );
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The same value in JSON, as which it is compared.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => number.as_str().parse::<i64>().unwrap().into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Array(values) => values.iter().map(|value| json(value.as_ref())).collect(),
        DeValue::Table(table) => {
            let fields = table.iter().map(|(key, value)| (key.as_ref().to_string(), json(value.as_ref())));
            Value::Object(fields.collect())
        }
        DeValue::Float(_) | DeValue::Datetime(_) => panic!("no trace has a {}", value.type_str()),
    }
}
