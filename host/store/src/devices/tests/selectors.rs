//! Selectors match the same devices in memory and in SQL.

use proptest::{prelude::*, sample::select, strategy::ValueTree as _, test_runner::TestRunner};
use tidegate_core::{
    Named as _,
    device::{Device, DeviceState},
    device_fields::DEVICE_FIELDS,
    mode::DeviceMode,
    selector::{
        Comparison, FieldKind, Operator, Selector, SelectorText, Syntax, Value, matches, parse,
    },
    time::Timestamp,
};
use tidegate_engine::ports::{Devices as _, LastSeenRecord, NewDevice, OverdueRule};

use super::*;

/// All fields of devices, and some labels and attributes.
fn fields() -> Vec<(&'static str, FieldKind)> {
    let free = [
        "label.rack",
        "label.missing",
        "attribute.site",
        "attribute.floor",
        "attribute.missing",
    ];
    let free = free.into_iter().map(|name| (name, FieldKind::Text));
    DEVICE_FIELDS.names.iter().copied().chain(free).collect()
}

const OPERATORS: &[Operator] = &[
    Operator::Equal,
    Operator::NotEqual,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::In,
    Operator::Out,
];

/// Texts with characters that are special in SQL patterns.
const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "ab",
    "aB",
    "a*",
    "*b",
    "a*b",
    "*",
    "**",
    "a?",
    "?b",
    "a[b]",
    "[a-z]",
    "[^a]",
    "]",
    "a%",
    "%",
    "_",
    "a_b",
    "\\",
    "a\\",
    "\\*",
    "'",
    "a'b",
    "\"",
    "é",
    "É",
    "ñandú",
    "日本",
    "$1",
    "--",
    "null",
    "unknown",
    "registered",
    "manual",
    "true",
    "false",
    "device-1",
    "device-*",
];

const VERSIONS: &[&str] = &[
    "0.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-rc.1",
    "1.0.0",
    "1",
    "v1.0",
    "1.2.0+build7",
    "1.10.0",
    "2.0.0",
    "10",
    "Rev B",
    "rev b",
    "~",
    "1.*",
    "*.0",
    "*",
    "éclair",
];

fn value(kind: FieldKind) -> BoxedStrategy<Value> {
    let exact = |text: &str| Value::Exact(text.to_owned());
    // Stars are wildcards in one half of the values, and literal in the other.
    let text = move |texts: &'static [&'static str]| {
        (select(texts), any::<bool>()).prop_map(move |(text, has_wildcards)| {
            if has_wildcards && text.contains('*') {
                Value::Pattern(text.split('*').map(str::to_owned).collect())
            } else {
                exact(text)
            }
        })
    };
    match kind {
        FieldKind::Text => text(TEXTS).boxed(),
        // Selectors that were stored before words were checked may compare them with any text.
        FieldKind::Word(words) => prop_oneof![select(words).prop_map(exact), text(TEXTS)].boxed(),
        FieldKind::Version => text(VERSIONS).boxed(),
        FieldKind::Time => (-3..4_i64)
            .prop_map(|n| Value::Exact(n.to_string()))
            .boxed(),
    }
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let comparison =
        (select(fields()), select(OPERATORS)).prop_flat_map(|((field, kind), operator)| {
            use Operator::{Equal, In, NotEqual, Out};
            let many = matches!(operator, In | Out);
            let has_patterns = matches!(operator, Equal | NotEqual | In | Out);
            let values = prop::collection::vec(value(kind), if many { 1..4 } else { 1..2 });
            values.prop_map(move |mut values| {
                if !has_patterns {
                    for value in &mut values {
                        *value = Value::Exact(value.text().into_owned());
                    }
                }
                Selector::Compare(Comparison {
                    field: field.to_owned(),
                    kind,
                    operator,
                    values,
                })
            })
        });
    comparison.prop_recursive(3, 8, 3, |inner| {
        let options = prop::collection::vec(inner, 2..4);
        prop_oneof![
            options.clone().prop_map(Selector::And),
            options.prop_map(Selector::Or)
        ]
    })
}

fn any_device() -> impl Strategy<Value = NewDevice> {
    let text = || prop::option::of(select(TEXTS));
    let version = || prop::option::of(select(VERSIONS));
    let groups = prop::collection::vec(select(TEXTS), 0..3);
    let modes = &[DeviceMode::Rollout, DeviceMode::Latest, DeviceMode::Manual];
    let registry_fields = (text(), text(), select(modes), any::<bool>());
    (
        text(),
        text(),
        version(),
        version(),
        text(),
        text(),
        groups,
        registry_fields,
    )
        .prop_map(
            |(name, model, revision, version, site, floor, groups, (feed, rack, mode, pinned))| {
                let attributes = [
                    ("hw_model", model),
                    ("hw_revision", revision),
                    ("sw_version", version),
                    ("site", site),
                    ("floor", floor),
                ];
                let known = attributes
                    .into_iter()
                    .filter_map(|(key, value)| Some((key, value?)));
                NewDevice {
                    name: name.unwrap_or_default().to_owned(),
                    feed: feed.map(str::to_owned),
                    labels: rack
                        .map(|rack| ("rack".to_owned(), rack.to_owned()))
                        .into_iter()
                        .collect(),
                    mode,
                    pinned,
                    created_at: Some(Timestamp(2)),
                    ..device("", &groups, &known.collect::<Vec<_>>())
                }
            },
        )
}

async fn fleet(store: &TestStore, runner: &mut TestRunner) -> anyhow::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for n in 0..60 {
        let tree = any_device().new_tree(runner).map_err(anyhow::Error::msg)?;
        let device_id = format!("device-{n}");
        let new = NewDevice {
            device_id: device_id.clone(),
            ..tree.current()
        };
        let key = store.create_device(store.ours, new).await?;
        if n % 3 == 0 {
            store.register(store.ours, &device_id, Timestamp(0)).await?;
            let at = Timestamp(n / 3 % 4);
            store
                .record_last_seen(vec![LastSeenRecord {
                    tenant: store.ours,
                    device: key,
                    at,
                    address: None,
                }])
                .await?;
        }
        devices.push(
            store
                .device(store.ours, &device_id)
                .await?
                .expect("it was created"),
        );
    }
    Ok(devices)
}

on_both! {
    async fn selectors_match_the_same_devices_in_memory_and_in_sql(store) {
        let mut runner = TestRunner::deterministic();
        let devices = fleet(store, &mut runner).await?;
        let (mut some, mut none) = (0, 0);
        for _ in 0..600 {
            let tree = any_selector().new_tree(&mut runner).map_err(anyhow::Error::msg)?;
            let selector = tree.current();
            let in_sql = store.matching(store.ours, &selector, None).await?;
            for device in &devices {
                assert_eq!(
                    in_sql.contains(&device.key),
                    matches(&selector, device),
                    "{selector:?} on {device:?}"
                );
            }
            if in_sql.is_empty() { none += 1 } else { some += 1 }
        }
        assert!(some > 100 && none > 20, "{some} selectors matched something, {none} nothing");
    }

    async fn selectors_see_overdue_devices_in_memory_and_in_sql(store) {
        let mut runner = TestRunner::deterministic();
        let mut devices = fleet(store, &mut runner).await?;
        let seen = devices.iter().filter(|device| device.last_seen == Some(Timestamp(1)));
        let overdue = OverdueRule {
            before: Timestamp(2),
            seen: seen.take(2).map(|device| device.key).collect(),
        };
        let mut states = std::collections::BTreeMap::<_, usize>::new();
        for device in &mut devices {
            if overdue.includes(device) {
                device.state = DeviceState::Overdue;
            }
            *states.entry(device.state.as_str()).or_default() += 1;
        }
        assert_eq!(states, [("overdue", 8), ("registered", 12), ("unknown", 40)].into());
        let states = [
            "state==overdue", "state!=overdue", "state==registered", "state=in=(registered,overdue)",
            "state=out=(overdue,unknown)", "state==over*",
        ];
        let mut selectors: Vec<_> = states.iter().map(|text| selector(text)).collect::<Result<_, _>>()?;
        // The devices of this test are older than the times of the current syntax.
        let early = "state==registered,last_seen<1970-01-01T00:00:00.002Z".to_owned();
        selectors.push(SelectorText { text: early, syntax: Syntax::V2 }.parse(&DEVICE_FIELDS)?);
        for _ in 0..300 {
            selectors.push(any_selector().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current());
        }
        for selector in selectors {
            let in_sql = store.matching(store.ours, &selector, Some(&overdue)).await?;
            for device in &devices {
                assert_eq!(
                    in_sql.contains(&device.key),
                    matches(&selector, device),
                    "{selector:?} on {device:?}"
                );
            }
        }
    }

    async fn selectors_accept_rfc_3339_times_and_milliseconds(store) {
        let seen = 1_777_636_800_120;
        store.register(store.ours, "device-1", Timestamp(seen)).await?;
        let device = store.device(store.ours, "device-1").await?.expect("it was created");
        store
            .record_last_seen(vec![LastSeenRecord { tenant: store.ours, device: device.key, at: Timestamp(seen), address: None }])
            .await?;
        let device = store.device(store.ours, "device-1").await?.expect("it was created");
        for (text, expected) in [
            ("last_seen==2026-05-01T12:00:00.120Z", true),
            ("last_seen==2026-05-01T14:00:00.120+02:00", true),
            ("last_seen=gt=2026-05-01T12:00:00Z", true),
            ("last_seen=gt=2026-05-01T12:00:00.120Z", false),
            ("last_seen<2026-05-01T12:00:00.121Z;created_at>=2026-05-01T00:00:00Z", true),
            ("last_seen=out=(2026-05-01T12:00:00.120Z,2000-01-01T00:00:00Z)", false),
            ("last_seen==1777636800120", true),
        ] {
            let selector = parse(text, &DEVICE_FIELDS)?;
            let in_sql = store.matching(store.ours, &selector, None).await?;
            assert_eq!(in_sql.contains(&device.key), expected, "{text}, in SQL");
            assert_eq!(matches(&selector, &device), expected, "{text}, in memory");
        }
    }

    async fn an_escaped_star_is_no_wildcard(store) {
        for name in ["4*100", "4x100", "4*"] {
            let device = NewDevice { name: name.to_owned(), ..device(name, &[], &[]) };
            store.create_device(store.ours, device).await?;
        }
        for (text, expected) in [
            (r"name==4\*100", vec!["4*100"]),
            (r"name==4*100", vec!["4*100", "4x100"]),
            (r"name==4\**", vec!["4*", "4*100"]),
            (r#"name=="4\*""#, vec!["4*"]),
            (r"name!=4\*100", vec!["4*", "4x100"]),
            (r"name=in=(4\*,4x*)", vec!["4*", "4x100"]),
        ] {
            let selector = parse(text, &DEVICE_FIELDS)?;
            let in_sql = store.matching(store.ours, &selector, None).await?;
            let mut found = Vec::new();
            for id in ["4*", "4*100", "4x100"] {
                let device = store.device(store.ours, id).await?.expect("it was created");
                assert_eq!(matches(&selector, &device), in_sql.contains(&device.key), "{text} on {id}");
                if in_sql.contains(&device.key) {
                    found.push(id);
                }
            }
            assert_eq!(found, expected, "{text}");
        }
    }

    async fn the_largest_selector_is_supported(store) {
        let values = (0..256).map(|n| Value::Exact(n.to_string())).collect();
        let comparison = Comparison { field: "group".into(), kind: FieldKind::Text, operator: Operator::In, values };
        let wide = Selector::And(vec![Selector::Compare(comparison); 32]);
        let deep = (0..32).fold(wide, |inner, _| Selector::Or(vec![Selector::And(vec![inner])]));
        assert!(store.matching(store.ours, &deep, None).await?.is_empty());
    }
}
