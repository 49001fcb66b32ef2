use super::*;

fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().expect("a moment");
    Timestamp(moment.as_millisecond())
}

fn window(schedule: &str, minutes: u64, timezone: &str) -> MaintenanceWindow {
    MaintenanceWindow::new(WindowSpec {
        schedule: schedule.to_owned(),
        duration: Duration::from_mins(minutes),
        timezone: timezone.to_owned(),
        ..WindowSpec::default()
    })
    .expect("a valid window")
}

fn openings(window: &MaintenanceWindow, after: &str, count: usize) -> Vec<String> {
    let mut moment = at(after);
    let mut openings = Vec::new();
    for _ in 0..count {
        let Some(next) = window.next_opening(moment) else {
            break;
        };
        moment = next;
        let formatted = jiff::Timestamp::from_millisecond(next.0).expect("in range");
        openings.push(formatted.to_string());
    }
    openings
}

#[test]
fn schedules_accept_unix_and_quartz_cron() {
    // 2026-05-01 is a Friday.
    for (schedule, expected) in [
        ("0 2 * * *", "2026-05-02T02:00:00Z"),
        ("30 2 * * 0", "2026-05-03T02:30:00Z"),
        ("30 2 * * 7", "2026-05-03T02:30:00Z"),
        ("30 2 * * SUN", "2026-05-03T02:30:00Z"),
        ("30 2 * * 1", "2026-05-04T02:30:00Z"),
        ("0 30 2 ? * 1", "2026-05-03T02:30:00Z"),
        ("0 30 2 ? * 1 *", "2026-05-03T02:30:00Z"),
        ("0 30 2 ? * MON-FRI", "2026-05-04T02:30:00Z"),
        ("15 30 2 ? * SAT 2027", "2027-01-02T02:30:15Z"),
        ("0 0/15 2 ? * *", "2026-05-02T02:00:00Z"),
        ("0 0 3 L * ?", "2026-05-31T03:00:00Z"),
        ("0 3 * * MON#1", "2026-05-04T03:00:00Z"),
        ("*/20 * * * *", "2026-05-01T12:20:00Z"),
        ("0 12 1 5 *", "2027-05-01T12:00:00Z"),
        ("@daily", "2026-05-02T00:00:00Z"),
        ("0 2 * * FRI-MON", "2026-05-02T02:00:00Z"),
        ("0 2 * * sat-sun", "2026-05-02T02:00:00Z"),
        ("0 2 * * 6-2", "2026-05-02T02:00:00Z"),
        ("0 2 * * 5-7", "2026-05-02T02:00:00Z"),
        ("0 2 * * 7-1", "2026-05-03T02:00:00Z"),
        ("0 2 * * 7-0", "2026-05-03T02:00:00Z"),
        ("0 2 * * 7-6/5", "2026-05-03T02:00:00Z"),
        ("0 2 * * SAT-MON/2", "2026-05-02T02:00:00Z"),
        ("0 0 2 ? * 7-2", "2026-05-02T02:00:00Z"),
        ("0 0 2 ? * SAT-MON", "2026-05-02T02:00:00Z"),
        ("0 22-2 * * *", "2026-05-01T22:00:00Z"),
        ("0 22-2/2,4 2 * *", "2026-05-02T00:00:00Z"),
        ("50-10/20 * * * *", "2026-05-01T12:10:00Z"),
        ("0 0 1 NOV-FEB *", "2026-11-01T00:00:00Z"),
        ("0 0 1 11-2 *", "2026-11-01T00:00:00Z"),
        ("0 0 30-2 * *", "2026-05-02T00:00:00Z"),
    ] {
        let window = window(schedule, 60, "UTC");
        let next = openings(&window, "2026-05-01T12:00:00Z", 1);
        assert_eq!(next, [expected], "{schedule}");
    }
}

#[test]
fn ranges_that_go_round_have_all_their_values() {
    let weekend = window("0 2 * * FRI-MON", 60, "UTC");
    assert_eq!(
        openings(&weekend, "2026-05-01T12:00:00Z", 5),
        [
            "2026-05-02T02:00:00Z",
            "2026-05-03T02:00:00Z",
            "2026-05-04T02:00:00Z",
            "2026-05-08T02:00:00Z",
            "2026-05-09T02:00:00Z"
        ]
    );
    let sunday_and_monday = window("0 2 * * 7-1", 60, "UTC");
    assert_eq!(
        openings(&sunday_and_monday, "2026-05-01T12:00:00Z", 3),
        [
            "2026-05-03T02:00:00Z",
            "2026-05-04T02:00:00Z",
            "2026-05-10T02:00:00Z"
        ]
    );
    let winter = window("0 0 1 NOV-FEB *", 60, "UTC");
    assert_eq!(
        openings(&winter, "2026-05-01T12:00:00Z", 5),
        [
            "2026-11-01T00:00:00Z",
            "2026-12-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
            "2027-02-01T00:00:00Z",
            "2027-11-01T00:00:00Z"
        ]
    );
    let quartz = window("0 0 22-2/2 ? * *", 60, "UTC");
    assert_eq!(
        openings(&quartz, "2026-05-01T12:00:00Z", 4),
        [
            "2026-05-01T22:00:00Z",
            "2026-05-02T00:00:00Z",
            "2026-05-02T02:00:00Z",
            "2026-05-02T22:00:00Z"
        ]
    );
}

#[test]
fn a_time_zone_may_be_a_fixed_offset() {
    for (timezone, expected) in [
        ("Z", "2026-05-02T02:00:00Z"),
        ("+03:00", "2026-05-01T23:00:00Z"),
        ("-03:30", "2026-05-02T05:30:00Z"),
        ("+14:00", "2026-05-02T12:00:00Z"),
        ("-12:00", "2026-05-01T14:00:00Z"),
        ("-00:00", "2026-05-02T02:00:00Z"),
    ] {
        let window = window("0 2 * * *", 60, timezone);
        let next = openings(&window, "2026-05-01T13:00:00Z", 1);
        assert_eq!(next, [expected], "{timezone}");
    }
    let window = window("0 2 * * *", 60, "+03:00");
    assert_eq!(
        window.describe(at("2026-05-01T12:00:00Z")),
        "its maintenance window is closed and opens at 2026-05-02 02:00:00 +03 (+03:00)"
    );
}

#[test]
fn an_invalid_schedule_is_explained() {
    let fields = |count| {
        format!(
            "must be cron, such as `0 2 * * SUN`: five fields (minute, hour, day of the month, month, weekday), or six \
             or seven with the second first and the year last; this has {count}"
        )
    };
    let invalid = |text: &str, field: &str, expected: &str| {
        format!(
            "`{text}` is not a valid {field}: must be {expected}, `*`, or a list, range or step of these"
        )
    };
    for (schedule, expected) in [
        ("", fields(0)),
        ("0 2 * *", fields(4)),
        ("60 2 * * *", invalid("60", "minute", "0 to 59")),
        ("0 25 * * *", invalid("25", "hour", "0 to 23")),
        ("0 22-30 * * *", invalid("22-30", "hour", "0 to 23")),
        ("0 2 32 * *", invalid("32", "day of the month", "1 to 31, or L")),
        ("0 2 * FOO *", invalid("FOO", "month", "1 to 12, or JAN to DEC")),
        ("0 2 * * NODAY", invalid("NODAY", "weekday", "0 to 7, or SUN to SAT")),
        ("0 2 * * 8-1", invalid("8-1", "weekday", "0 to 7, or SUN to SAT")),
        ("0 0 2 ? * 8", invalid("8", "weekday", "1 to 7, or SUN to SAT")),
        ("0 0 2 ? * * 5001", invalid("5001", "year", "1 to 5000")),
        (
            "@sometimes",
            "`@sometimes` is not a schedule: use @yearly, @monthly, @weekly, @daily or @hourly, or cron such as \
             `0 2 * * SUN`"
                .to_owned(),
        ),
    ] {
        let spec = WindowSpec {
            schedule: schedule.to_owned(),
            duration: Duration::from_hours(1),
            timezone: "UTC".to_owned(),
            prefetch: false,
        };
        let errors = MaintenanceWindow::new(spec).err().unwrap_or_default();
        let messages: Vec<_> = errors.into_iter().map(|error| error.message).collect();
        assert_eq!(messages, [expected], "{schedule}");
    }
}

#[test]
fn a_window_is_open_for_as_long_as_it_says() {
    let window = window("0 2 * * *", 90, "Europe/Berlin");
    let open = |closes_at| WindowState::Open {
        closes_at: at(closes_at),
    };
    let closed = |opens_at| WindowState::Closed {
        opens_at: Some(at(opens_at)),
    };
    for (now, expected) in [
        ("2026-05-01T23:59:59.999Z", closed("2026-05-02T00:00:00Z")),
        ("2026-05-02T00:00:00Z", open("2026-05-02T01:30:00Z")),
        ("2026-05-02T01:29:59.999Z", open("2026-05-02T01:30:00Z")),
        ("2026-05-02T01:30:00Z", closed("2026-05-03T00:00:00Z")),
        // Earlier times after later ones.
        ("2026-05-01T12:00:00Z", closed("2026-05-02T00:00:00Z")),
        ("2026-01-01T12:00:00Z", closed("2026-01-02T01:00:00Z")),
    ] {
        assert_eq!(window.state(at(now)), expected, "{now}");
    }
}

#[test]
fn overlapping_windows_merge() {
    let window = window("0 * * * *", 90, "UTC");
    for minute in 0..600 {
        let now = at("2026-05-01T00:00:00Z").plus(Duration::from_mins(minute));
        assert!(window.state(now).is_open(), "minute {minute}");
    }
}

#[test]
fn a_window_in_the_skipped_dst_hour_still_opens() {
    // The clock skips from 02:00 to 03:00 at 01:00 UTC.
    let skipped = window("30 2 * * *", 60, "Europe/Berlin");
    assert_eq!(
        openings(&skipped, "2026-03-28T00:00:00Z", 3),
        [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-30T00:30:00Z"
        ]
    );
    let just_after = at("2026-03-29T01:00:00Z");
    assert!(skipped.state(just_after).is_open());
    // A time just after the gap does not move.
    let behind = window("15 3 * * *", 60, "Europe/Berlin");
    assert_eq!(
        openings(&behind, "2026-03-29T00:59:59Z", 1),
        ["2026-03-29T01:15:00Z"]
    );
    let both = window("30 2,3 * * *", 10, "Europe/Berlin");
    assert_eq!(
        openings(&both, "2026-03-29T00:00:00Z", 3),
        [
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:30:00Z",
            "2026-03-30T00:30:00Z"
        ]
    );
}

#[test]
fn a_window_in_the_repeated_dst_hour_opens_once() {
    // The clock repeats 02:00 to 03:00 from 01:00 UTC.
    let twice = window("30 2 * * *", 10, "Europe/Berlin");
    assert_eq!(
        openings(&twice, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    let hourly = window("0 * * * *", 10, "Europe/Berlin");
    assert_eq!(
        openings(&hourly, "2026-10-24T23:30:00Z", 3),
        [
            "2026-10-25T00:00:00Z",
            "2026-10-25T02:00:00Z",
            "2026-10-25T03:00:00Z"
        ]
    );
    let always = window("* * * * * *", 1, "Europe/Berlin");
    assert!(always.next_opening(at("2026-10-25T01:00:00Z")).is_some());
}

#[test]
fn schedules_may_end() {
    let past = window("0 0 2 ? * * 2025", 60, "UTC");
    assert_eq!(past.next_opening(at("2026-01-01T00:00:00Z")), None);
    let closed = WindowState::Closed { opens_at: None };
    assert_eq!(past.state(at("2026-01-01T00:00:00Z")), closed);
    let never = window("0 2 30 2 *", 60, "UTC");
    assert_eq!(never.next_opening(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(never.next_opening(Timestamp(i64::MAX)), None);
    assert_eq!(never.next_opening(Timestamp(i64::MIN)), None);
    assert!(
        window("0 2 * * *", 60, "UTC").state(Timestamp(0))
            == WindowState::Closed {
                opens_at: Some(Timestamp(2 * 60 * 60 * 1000))
            }
    );
}

#[test]
fn timeouts_start_at_the_window_opening() {
    let window = window("0 2 * * *", 60, "UTC");
    let hour = Duration::from_hours(1);
    let day = Duration::from_hours(24);
    for (now, timeout, expected) in [
        ("2026-05-01T12:00:00Z", hour, "2026-05-02T02:00:00Z"),
        ("2026-05-02T02:00:00Z", hour, "2026-05-02T02:00:00Z"),
        ("2026-05-02T02:30:00Z", hour / 2, "2026-05-02T02:30:00Z"),
        ("2026-05-02T02:30:00Z", hour, "2026-05-03T02:00:00Z"),
        ("2026-05-02T02:00:00Z", day, "2026-05-03T02:00:00Z"),
    ] {
        assert_eq!(
            window.timeout_start(at(now), timeout),
            at(expected),
            "{now} {timeout:?}"
        );
    }
}

#[test]
fn fuzz_schedule() {
    bolero::check!(name = "schedule").for_each(|bytes: &[u8]| {
        let window = MaintenanceWindow::new(WindowSpec {
            schedule: String::from_utf8_lossy(bytes).into_owned(),
            duration: Duration::from_hours(1),
            timezone: "Europe/Berlin".to_owned(),
            prefetch: false,
        });
        if let Ok(window) = window {
            let _ = window.describe(at("2026-03-29T00:30:00Z"));
            let _ = window.next_opening(at("2026-10-25T00:30:00Z"));
        }
    });
}

#[test]
fn broken_rules_are_named() {
    let good = window("0 2 * * *", 60, "UTC").spec;
    let broken_paths = |spec| {
        let broken_paths = MaintenanceWindow::new(spec).err().unwrap_or_default();
        let paths = broken_paths.into_iter().map(|error| error.path);
        paths.collect::<Vec<_>>().join(" ")
    };
    for schedule in [
        "",
        "2",
        "0 2 * *",
        "0 2 * * * * * *",
        "60 2 * * *",
        "0 25 * * *",
        "0 2 * * NODAY",
        "0 2 * * *; rm",
        "+ + + + +",
        "0 0/0 2 ? * *",
        "é 2 * * *",
        &"0 ".repeat(200),
        &format!("{} 2 * * *", "9".repeat(150)),
    ] {
        let schedule = schedule.to_owned();
        assert_eq!(
            broken_paths(WindowSpec {
                schedule: schedule.clone(),
                ..good.clone()
            }),
            "schedule",
            "{schedule}"
        );
    }
    for timezone in [
        "",
        "Berlin",
        "Europe/Atlantis",
        "Etc/Unknown",
        "../UTC",
        "+2:00",
        "+02:60",
        "+14:01",
        "-12:01",
        "-14:00",
        "+0200",
        "02:00",
        "z",
    ] {
        let timezone = timezone.to_owned();
        assert_eq!(
            broken_paths(WindowSpec {
                timezone: timezone.clone(),
                ..good.clone()
            }),
            "timezone",
            "{timezone}"
        );
    }
    for seconds in [0, 59, 7 * 24 * 60 * 60 + 1] {
        let duration = Duration::from_secs(seconds);
        assert_eq!(
            broken_paths(WindowSpec {
                duration,
                ..good.clone()
            }),
            "duration"
        );
    }
    assert_eq!(
        broken_paths(WindowSpec::default()),
        "schedule duration timezone"
    );
}
