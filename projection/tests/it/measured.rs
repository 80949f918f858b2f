//! What the facade `metrics` was told, for a test to look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// The values by name and labels, such as `lag{projection=p,partition=0/2}`. A clone shares them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Measured {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
}

impl Measured {
    /// A counter's sum, a gauge's last value, a histogram's sum; `None` if nothing was said of it.
    pub(crate) fn value(&self, name: &str, labels: &str) -> Option<f64> {
        self.lock().get(&format!("{name}{{{labels}}}")).copied()
    }

    /// Everything that was told under `name`, with its labels.
    pub(crate) fn all(&self, name: &str) -> BTreeMap<String, f64> {
        let values = self.lock();
        let labels = |key: &str| Some(key.strip_prefix(name)?.strip_prefix('{')?.to_owned());
        values.iter().filter_map(|(key, value)| Some((labels(key)?, *value))).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let key = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(Cell { key, measured: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, f64>> {
        self.values.lock().expect("no panic while it is held")
    }
}

impl Recorder for Measured {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

/// One value.
struct Cell {
    key: String,
    measured: Measured,
}

impl Cell {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut values = self.measured.lock();
        let value = values.entry(self.key.clone()).or_default();
        *value = change(*value);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a test counts few things")]
impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.change(|before| before + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|_| value as f64);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.change(|before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|before| before - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl HistogramFn for Cell {
    fn record(&self, value: f64) {
        self.change(|before| before + value);
    }
}
