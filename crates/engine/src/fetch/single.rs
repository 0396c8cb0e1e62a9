//! Records handed out one by one.

use milena_records::SharedRecord;
use milena_types::{Offset, TopicPartition};

use super::buffer::{CompletedFetch, Stay, Taken};
use super::reader::{OpenBatch, Progress, Reader, Step};
use crate::error::Error;

/// A batch that a run goes over, and what is left of the fetch around it.
#[derive(Debug)]
pub(super) struct Single {
    fetch: CompletedFetch,
    progress: Box<Progress>,
    open: OpenBatch,
    /// Records below it were handed out before, or were not asked for.
    from: Offset,
    /// Behind the last record that was handed out.
    behind: Offset,
    taken: Taken,
    stay: Stay,
    is_finished: bool,
}

/// A record of its own, where it is from, and the stay in which it was read.
type Handed = (TopicPartition, SharedRecord, Stay);

impl Reader {
    /// The next record, if the run that handed out the last one goes on. Takes no lock.
    ///
    /// Counts as a poll: what was handed out before it is done with.
    #[inline]
    pub fn next_in_run(&mut self) -> Option<Handed> {
        let single = self.single.as_mut()?;
        loop {
            let mark = single.open.records.mark();
            let Some(record) = single.open.records.next() else {
                single.is_finished = true;
                return None;
            };
            let record = match record {
                Ok(record) if record.offset() < single.from => continue,
                Ok(record) => record,
                Err(error) => {
                    single.progress.error = Some(error);
                    return None;
                }
            };
            if !self.buffer.take_in_run(&mut single.taken, record.offset()) {
                single.open.records.rewind(mark);
                return None;
            }
            single.behind = record.offset().next();
            return Some((single.fetch.partition.clone(), record, single.stay));
        }
    }

    /// The next record, if there is one that may be handed out now.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn poll_one(&mut self) -> Result<Option<Handed>, Error> {
        loop {
            if let Some(next) = self.next_in_run() {
                return Ok(Some(next));
            }
            self.end_run();
            let Some((mut fetch, position)) = self.next_fetch() else { return Ok(None) };
            match self.step(&mut fetch, position) {
                Err(error) => {
                    self.buffer.reject(fetch);
                    return Err(error);
                }
                Ok(Step::End) => self.buffer.release(fetch),
                Ok(Step::Passed(progress)) => {
                    self.pass(&mut fetch, progress, position);
                    self.current = Some(fetch);
                }
                Ok(Step::Open(mut progress, open)) => {
                    let Some((stay, taken)) = self.buffer.begin_run(&fetch, open.end.leader_epoch)
                    else {
                        progress.open = Some(open);
                        fetch.progress = Some(progress);
                        self.current = Some(fetch);
                        continue;
                    };
                    let (from, behind, is_finished) = (position.offset, position.offset, false);
                    self.single = Some(Single {
                        fetch,
                        progress,
                        open,
                        from,
                        behind,
                        taken,
                        stay,
                        is_finished,
                    });
                }
            }
        }
    }

    /// Ends the run: what is left of the batch is read as after any other poll.
    pub(super) fn end_run(&mut self) {
        let Some(single) = self.single.take() else { return };
        let Single { mut fetch, mut progress, open, behind, is_finished, .. } = single;
        if is_finished {
            // Where it may not be moved any more, the next look at the fetch says so.
            let _ = self.buffer.hand_out(&fetch, open.end_behind(behind));
        } else if progress.error.is_none() {
            progress.open = Some(open);
        }
        fetch.progress = Some(progress);
        self.current = Some(fetch);
    }
}
