//! Makes the client of a bucket or a web server, with the credentials of the environment.

use std::io;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, Result, RetryConfig};

use crate::address::Address;
use crate::clients::Clients;
use crate::failure::Failure;
use crate::guard::{Existing, Guarded};
use crate::options::RemoteOptions;
use crate::scheme::Scheme;
use crate::settings;

/// The client of a bucket or of one file of a web server.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// `None` for a web server.
    pub(crate) lists: Option<Arc<dyn PaginatedListStore>>,
}

impl Store {
    /// Makes the client for an address. That of a web server is for this address only.
    ///
    /// # Errors
    /// [`Failure::Setting`] and [`Failure::Settings`], which only name the settings: the errors of `object_store` may
    /// contain their values.
    pub(crate) fn new(
        address: &Address,
        existing: Existing,
        options: &RemoteOptions,
        clients: &Arc<Clients>,
    ) -> std::result::Result<Self, Failure> {
        settings::ensure_usable(address.scheme, options)?;
        let guarded = Guarded {
            allow_http: options.allow_http,
            scheme: address.scheme,
            existing: if address.scheme == Scheme::S3 { existing } else { Existing::Replace },
            clients: Arc::clone(clients),
        };
        Self::build(address, options, guarded).map_err(|_| Failure::Settings {
            scheme: address.scheme,
            names: settings::names(address.scheme, options),
        })
    }

    fn build(address: &Address, options: &RemoteOptions, guarded: Guarded) -> Result<Self> {
        fn both(store: impl ObjectStore + PaginatedListStore) -> Store {
            let store = Arc::new(store);
            Store { objects: store.clone(), lists: Some(store) }
        }
        let retry = retry(options);
        Ok(match address.scheme {
            Scheme::S3 => {
                let builder = AmazonS3Builder::from_env().with_url(&address.origin);
                let builder = options
                    .settings
                    .of()
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value));
                both(builder.with_retry(retry).with_http_connector(guarded).build()?)
            }
            Scheme::Azure => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(&address.origin);
                let builder = options
                    .settings
                    .of()
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value));
                both(builder.with_retry(retry).with_http_connector(guarded).build()?)
            }
            Scheme::Google => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(&address.origin);
                let builder = options
                    .settings
                    .of()
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value));
                both(builder.with_retry(retry).with_http_connector(guarded).build()?)
            }
            Scheme::Https | Scheme::Http => {
                let builder = HttpBuilder::new().with_url(address.url());
                let store = builder.with_retry(retry).with_http_connector(guarded).build()?;
                Self { objects: Arc::new(store), lists: None }
            }
        })
    }

    /// Returns the path of an object in the store. A client of a web server has one object, without a path.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a bucket or a prefix.
    pub(crate) fn path(address: &Address) -> io::Result<Path> {
        if !address.can_list() {
            return Ok(Path::default());
        }
        let path = Path::parse(&address.key).ok().filter(|path| path.as_ref() == address.key);
        path.filter(|path| !path.is_root()).ok_or_else(|| {
            let message = "this URL names a bucket or a prefix: add the name of an object";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

fn retry(options: &RemoteOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: options.first_wait,
            max_backoff: options.first_wait.saturating_mul(100),
            // A wait is a random one up to this times the last: twice the last, on average.
            base: 4.,
        },
        max_retries: options.retries,
        // A slow part of an upload may take longer than one request, and is repeated as well.
        retry_timeout: options.request_timeout.saturating_mul(4),
    }
}
