//! A cluster that outlives its process: what was written down, told again.

use std::time::Instant;

use bytes::Bytes;

use super::Cluster;
use crate::settings::Settings;
use crate::state::State;

impl Cluster {
    /// The cluster that wrote `pieces`, each an [`Output::Store`](super::Output::Store), in their order; a new one where there
    /// are none. It goes on with writing.
    ///
    /// Members of groups, connections, fetch sessions and faults are not among what is written down. Topics of the settings
    /// that are there already stay as they are.
    ///
    /// # Errors
    /// What [`Cluster::new`] refuses, nodes that are missing, and pieces that are out of order or of another version.
    pub fn restore(
        settings: Settings,
        now: Instant,
        pieces: impl IntoIterator<Item = Bytes>,
    ) -> Result<Self, String> {
        settings.check_features()?;
        let mut state = State::new(settings, now);
        for piece in pieces {
            state.replay(now, piece)?;
        }
        state.finish_replay(now);
        Self::of(state, now)
    }

    /// Everything that a restore needs, in as few pieces as there may be: they replace all that were written before.
    ///
    /// # Errors
    /// The first of `put`.
    pub fn store_image<E>(&self, put: impl FnMut(Bytes) -> Result<(), E>) -> Result<(), E> {
        self.state.spell_image(put)
    }
}
