//! openraft's own tests of a store.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::TypeConfig;
use super::log::LogAdapter;
use super::state::StateAdapter;
use crate::queue::meta::MetaMachine;
use crate::queue::store::fixture::TestStore;

struct Builder;

impl StoreBuilder<TypeConfig, LogAdapter, StateAdapter, (TestStore, TempDir)> for Builder {
    async fn build(
        &self,
    ) -> Result<((TestStore, TempDir), LogAdapter, StateAdapter), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let (machine, _) = MetaMachine::new();
        let store = TestStore::open(dir.path(), Box::new(machine), 1 << 20);
        let log = LogAdapter::new(store.log.clone(), store.applier.clone());
        let state = StateAdapter::new(store.applier.clone(), store.reader.clone());
        Ok(((store, dir), log, state))
    }
}

#[tokio::test]
async fn the_store_does_what_raft_expects() {
    Suite::test_all(Builder).await.unwrap();
}
