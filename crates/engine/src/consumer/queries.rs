//! Questions about offsets that the user asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use milena_types::{Topic, TopicPartition};

use super::machine::Consumer;
use super::output::{Output, Query, QueryId, Reply};
use crate::error::{Error, Operation};
use crate::fetch::{Asker, FoundOffset};

/// The questions that are not answered yet.
#[derive(Debug)]
pub(super) struct Queries {
    last: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    deadline: Instant,
    operation: Operation,
    /// Partitions whose leaders did not answer yet; of a question to leaders only.
    waiting: BTreeSet<TopicPartition>,
    found: BTreeMap<TopicPartition, FoundOffset>,
}

impl Queries {
    pub(super) fn new() -> Self {
        Self { last: 0, open: BTreeMap::new() }
    }

    /// Whose metadata is needed.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.open.values().flat_map(|open| &open.waiting)
    }

    /// Whose leaders a query still waits for.
    fn topics(&self, number: u64) -> BTreeSet<Topic> {
        let waiting = self.open.get(&number).into_iter().flat_map(|open| &open.waiting);
        waiting.map(|tp| tp.topic.clone()).collect()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.open.values().map(|open| open.deadline).min()
    }
}

impl Consumer {
    pub(super) fn open_query(&mut self, now: Instant, query: Query) -> QueryId {
        self.queries.last += 1;
        let number = self.queries.last;
        let mut open = Open {
            deadline: now + self.settings.default_api_timeout,
            operation: Operation::ListOffsets,
            waiting: BTreeSet::new(),
            found: BTreeMap::new(),
        };
        let refused = match query {
            _ if !self.is_open() => Some(Error::closed()),
            Query::Committed(partitions) => {
                open.operation = Operation::FetchOffsets;
                match &mut self.membership {
                    Some(membership) => {
                        membership.committed.ask(number, partitions);
                        None
                    }
                    None => Some(Error::misuse("committed offsets take a group (group.id)")),
                }
            }
            Query::Offsets(specs) => {
                open.waiting = specs.keys().cloned().collect();
                for (tp, spec) in specs {
                    self.offsets.ask(Asker::Query(number), tp, spec);
                }
                None
            }
        };
        let operation = open.operation;
        self.queries.open.insert(number, open);
        if let Some(error) = refused {
            self.answer_query(number, Err(error.during(operation)));
        }
        self.settle_query(number);
        QueryId(number)
    }

    /// A leader answered for one partition.
    pub(super) fn query_found(
        &mut self,
        number: u64,
        tp: TopicPartition,
        result: Result<Option<FoundOffset>, Error>,
    ) {
        let Some(open) = self.queries.open.get_mut(&number) else { return };
        open.waiting.remove(&tp);
        match result {
            Ok(Some(found)) => {
                open.found.insert(tp, found);
            }
            Ok(None) => {}
            Err(error) => {
                self.answer_query(number, Err(error));
                return;
            }
        }
        self.settle_query(number);
    }

    /// Ends a query; a second end is none.
    pub(super) fn answer_query(&mut self, number: u64, result: Result<Reply, Error>) {
        if self.queries.open.remove(&number).is_none() {
            return;
        }
        self.offsets.withdraw(|_, asker| asker == Asker::Query(number));
        if let Some(membership) = &mut self.membership {
            membership.committed.withdraw(number);
        }
        self.outputs.push_back(Output::Answered { id: QueryId(number), result });
    }

    /// Ends the queries that are late, or all of them where `error` is given.
    pub(super) fn expire_queries(&mut self, now: Instant, error: Option<&Error>) {
        let late =
            self.queries.open.iter().filter(|(_, open)| error.is_some() || open.deadline <= now);
        let late: Vec<_> = late.map(|(number, open)| (*number, open.operation)).collect();
        for (number, operation) in late {
            let limit = self.settings.default_api_timeout;
            let error = error.cloned();
            let error = error.unwrap_or_else(|| {
                let late = Error::timeout(limit, "default.api.timeout.ms");
                match self.trouble_of(&self.queries.topics(number)) {
                    Some(trouble) => late.because(trouble),
                    None => late,
                }
            });
            self.answer_query(number, Err(error.during(operation)));
        }
    }

    /// Ends the queries that wait for a leader of `topic`.
    pub(super) fn fail_queries(&mut self, topic: &Topic, error: &Error) {
        let waits = |open: &Open| open.waiting.iter().any(|tp| tp.topic == *topic);
        let failed = self.queries.open.iter().filter(|(_, open)| waits(open));
        let failed: Vec<_> = failed.map(|(number, open)| (*number, open.operation)).collect();
        for (number, operation) in failed {
            self.answer_query(number, Err(error.clone().during(operation)));
        }
    }

    fn settle_query(&mut self, number: u64) {
        let Some(open) = self.queries.open.get_mut(&number) else { return };
        if open.operation == Operation::ListOffsets && open.waiting.is_empty() {
            let found = std::mem::take(&mut open.found);
            self.answer_query(number, Ok(Reply::Offsets(found)));
        }
    }
}
