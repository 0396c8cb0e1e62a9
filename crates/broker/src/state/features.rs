//! The levels of the cluster's features, and how they change (KIP-584).

use std::collections::BTreeMap;

use super::State;
use crate::store::Entry;

/// What was set of the features since the cluster was made anew.
#[derive(Debug, Default)]
pub(crate) struct Features {
    /// Counts the changes, by which clients know the newest.
    epoch: i64,
    set: BTreeMap<String, i16>,
}

impl Features {
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// All that is to be known of them, if anything was ever set.
    pub(super) fn entry(&self) -> Option<Entry> {
        let levels = self.set.iter().map(|(name, level)| (name.clone(), *level));
        (self.epoch > 0).then(|| Entry::Features(self.epoch, levels.collect()))
    }
}

impl State {
    /// Sets features that the release knows to levels that it knows.
    pub(crate) fn set_features(&mut self, levels: impl IntoIterator<Item = (String, i16)>) {
        for (name, level) in levels {
            self.settings.set_level(&name, level);
            self.features.set.insert(name, level);
        }
        self.features.epoch = self.features.epoch.saturating_add(1);
        if !self.has_share_groups() {
            self.close_shares();
        }
        if let Some(entry) = self.features.entry() {
            self.note(entry);
        }
    }

    /// The features are at these levels, whatever the settings say.
    pub(super) fn restore_features(
        &mut self,
        epoch: i64,
        levels: Vec<(String, i16)>,
    ) -> Result<(), String> {
        for (name, level) in levels {
            self.settings.check_level(&name, level)?;
            self.settings.set_level(&name, level);
            self.features.set.insert(name, level);
        }
        self.features.epoch = epoch;
        Ok(())
    }

    /// Without share groups nobody holds records any more (`SharePartitionManager.onShareVersionToggle`).
    fn close_shares(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.share_sessions.clear());
        self.close_all_shares();
    }
}
