//! Places in a scenario's document, and what is there.

use toml::{Table, Value};

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list, counted from 0.
    Item(usize),
}

/// The way from the top of a document to something in it; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(Vec<Step>);

impl Address {
    /// A key of the whole.
    pub(super) fn top(key: &str) -> Self {
        Self(vec![Step::Key(key.to_owned())])
    }

    /// The same and then `key`.
    pub(super) fn key(&self, key: &str) -> Self {
        self.below(Step::Key(key.to_owned()))
    }

    /// The same and then the item `at`.
    pub(super) fn item(&self, at: usize) -> Self {
        self.below(Step::Item(at))
    }

    fn below(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The steps from the top.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// What is there.
    pub(super) fn find<'d>(&self, document: &'d Table) -> Option<&'d Value> {
        let (Step::Key(first), rest) = self.0.split_first()? else {
            return None;
        };
        rest.iter()
            .try_fold(document.get(first)?, |value, step| match step {
                Step::Key(key) => value.get(key.as_str()),
                Step::Item(at) => value.get(*at),
            })
    }

    /// Puts `value` there; `false` when the way does not lead anywhere.
    pub(super) fn put(&self, document: &mut Table, value: Value) -> bool {
        let Some((last, way)) = self.0.split_last() else {
            return false;
        };
        match (above(document, way), last) {
            (Some(Above::Table(table)), Step::Key(key)) => {
                table.insert(key.clone(), value);
                true
            }
            (Some(Above::List(list)), Step::Item(at)) if *at < list.len() => {
                list[*at] = value;
                true
            }
            (Some(_) | None, _) => false,
        }
    }

    /// Takes it out, if it is there.
    pub(super) fn remove(&self, document: &mut Table) -> Option<Value> {
        let (last, way) = self.0.split_last()?;
        match (above(document, way)?, last) {
            (Above::Table(table), Step::Key(key)) => table.remove(key),
            (Above::List(list), Step::Item(at)) if *at < list.len() => Some(list.remove(*at)),
            (Above::Table(_) | Above::List(_), _) => None,
        }
    }
}

/// What something stands in.
enum Above<'d> {
    Table(&'d mut Table),
    List(&'d mut Vec<Value>),
}

fn above<'d>(document: &'d mut Table, way: &[Step]) -> Option<Above<'d>> {
    let Some((first, rest)) = way.split_first() else {
        return Some(Above::Table(document));
    };
    let Step::Key(first) = first else {
        return None;
    };
    let mut value = document.get_mut(first)?;
    for step in rest {
        value = match step {
            Step::Key(key) => value.get_mut(key.as_str())?,
            Step::Item(at) => value.get_mut(*at)?,
        };
    }
    match value {
        Value::Table(table) => Some(Above::Table(table)),
        Value::Array(list) => Some(Above::List(list)),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => None,
    }
}

/// How many items the list at `address` has; none when there is no list.
pub(super) fn length(document: &Table, address: &Address) -> usize {
    let list = address.find(document).and_then(Value::as_array);
    list.map_or(0, Vec::len)
}

/// The items of the list at `address`.
pub(super) fn items(document: &Table, address: &Address) -> Vec<Address> {
    let count = length(document, address);
    (0..count).map(|at| address.item(at)).collect()
}

/// Everything below the top, each before what is in it.
pub(super) fn everything(document: &Table) -> Vec<Address> {
    let mut all = Vec::new();
    for (key, value) in document {
        let address = Address::top(key);
        all.push(address.clone());
        add_below(&address, value, &mut all);
    }
    all
}

fn add_below(address: &Address, value: &Value, all: &mut Vec<Address>) {
    let mut add = |address: Address, value: &Value| {
        all.push(address.clone());
        add_below(&address, value, all);
    };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                add(address.key(key), value);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                add(address.item(at), value);
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => {}
    }
}
