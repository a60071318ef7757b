//! What a worker's errands are equipped with. It can go to another thread; an [`Enroller`] cannot.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use tokio::sync::Semaphore;

use super::{Enroller, Way};
use crate::engine::authority::Authority;
use crate::engine::clock::{Clock, wall_now};
use crate::engine::fetch::Fetcher;
use crate::engine::identity::{Identities, TlsError};
use crate::engine::permits::Permits;
use crate::engine::pki::key_maker::{KeyMaker, Making};
use crate::engine::redirect::PublicTargets;
use crate::engine::roster::Keeper;
use crate::ids::Crowd;
use crate::scenario::{Enrollment, IdentityMode};

/// What errands need beside a worker's own things.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Outfit {
    pub(in crate::engine) way: Arc<Way>,
    pub(in crate::engine) crowd: Crowd,
    /// What devices trust before they have a profile.
    pub(in crate::engine) roots: Arc<RootCertStore>,
    pub(in crate::engine) public: PublicTargets,
    /// For one request, redirects included.
    pub(in crate::engine) timeout: Duration,
}

impl Outfit {
    /// That of a rig without a target: identities are issued by an authority of its own.
    ///
    /// # Panics
    /// When the library makes no key.
    pub(in crate::engine) fn issuing(crowd: &Crowd, public: PublicTargets) -> Self {
        let enrollment = Enrollment::issued(IdentityMode::Mtls);
        let (authority, _) = Authority::create("mdmstorm rig", wall_now())
            .expect("the library makes keys of its own kinds");
        let making = Making {
            threads: NonZeroUsize::MIN,
            pool: None,
        };
        let keys = KeyMaker::start(making, &BTreeMap::new());
        Self {
            way: Arc::new(Way {
                keys: keys.expect("nothing is made yet"),
                enrollment,
                target: String::new(),
                authority: Arc::new(authority),
                secret: None,
                file: None,
                laid: None,
                made_out_to: None,
            }),
            crowd: crowd.clone(),
            roots: Arc::new(RootCertStore::empty()),
            public,
            timeout: Duration::from_secs(30),
        }
    }

    /// Whether requests can be made with these roots.
    ///
    /// # Errors
    /// When the TLS library refuses them.
    pub(in crate::engine) fn fetcher(
        &self,
        clock: Clock,
        permits: Permits,
    ) -> Result<Fetcher, TlsError> {
        let roots = Arc::clone(&self.roots);
        Fetcher::new(clock, permits, roots, self.public, self.timeout)
    }
}

impl Enroller {
    /// Equipped with `outfit`.
    pub(in crate::engine) fn new(
        outfit: Outfit,
        clock: Clock,
        permits: Permits,
        identities: Arc<Identities>,
        places: Arc<Semaphore>,
        keeper: Option<Keeper>,
    ) -> Self {
        let fetcher = outfit.fetcher(clock, permits);
        Self {
            clock,
            fetcher: fetcher.expect("the library takes any roots with its own algorithms"),
            crowd: outfit.crowd,
            way: outfit.way,
            identities,
            places,
            keeper,
            trust: OnceCell::new(),
            is_handed_over: Cell::new(false),
            spent: RefCell::new(BTreeMap::new()),
        }
    }
}
