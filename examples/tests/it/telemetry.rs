//! What the `telemetry` example prints.

use std::process::Command;

#[test]
fn the_telemetry_example_prints_spans_and_metrics() {
    let output = Command::new(env!("CARGO_BIN_EXE_telemetry")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let (spans, metrics) = printed.split_once("\nMetrics\n").expect("spans, then metrics");

    let requests = spans_named("place_order", spans);
    let handled = spans_named("handle", spans);
    assert_eq!((requests.len(), handled.len()), (3, 3), "{spans}");
    for (request, handle) in requests.iter().zip(&handled) {
        // An event is handled in the trace of the request that appended it, below its span.
        assert_eq!(field(handle, "TraceId"), field(request, "TraceId"));
        assert_eq!(field(handle, "ParentSpanId"), field(request, "SpanId"));
    }
    assert_eq!(spans_named("worker", spans).len(), 1);
    let partition = spans_named("projection", spans);
    let [partition] = &*partition else { panic!("{spans}") };
    assert!(partition.contains("partition: String(Owned(\"0/1\"))"), "{partition}");

    for (metric, says) in [
        ("projection_events_handled_total", "Value        : 3"),
        ("projection_batch_events", "Sum          : 3"),
        ("projection_batch_seconds", "Count        : "),
        ("projection_lag_positions", "Value        : 0"),
        ("projection_horizon_held_seconds", "Value        : 0"),
    ] {
        let shown = metrics.split("Metric #").find(|shown| shown.contains(metric));
        let shown = shown.unwrap_or_else(|| panic!("no {metric}: {metrics}"));
        assert!(shown.contains(says), "{says}: {shown}");
    }
}

/// The printed spans of a name, in the order they ended.
fn spans_named<'a>(name: &str, printed: &'a str) -> Vec<&'a str> {
    let spans = printed.split("\nSpan #").skip(1);
    spans.filter(|span| field(span, "Name ").as_deref() == Some(name)).collect()
}

/// The value after `name` and a colon, at the beginning of a line.
fn field(span: &str, name: &str) -> Option<String> {
    let values = span.lines().filter_map(|line| line.strip_prefix('\t')?.strip_prefix(name));
    values.map(|value| value.trim_start_matches([' ', ':']).to_owned()).next()
}
