//! Defines [`Remote`], a session with object stores and web servers.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;

use crate::address::Address;
use crate::cache::Cache;
use crate::clients::Clients;
use crate::fetch::Object;
use crate::file::RemoteFile;
use crate::guard::Existing;
use crate::listing::{self, RemoteEntry};
use crate::options::RemoteOptions;
use crate::permits::Permits;
use crate::runtime;
use crate::store::Store;
use crate::upload::{self, Upload};

/// A session with object stores and web servers. Clones are the same session.
///
/// Objects have names: their URLs without a query. An object that was opened stays the same object for the session.
#[derive(Clone)]
pub struct Remote(Arc<Session>);

struct Session {
    options: RemoteOptions,
    /// The addresses of names, for URLs with a query.
    addresses: Mutex<HashMap<String, Address>>,
    /// The clients, by bucket and by what uploads do with existing objects. A web server has one for each of its files.
    stores: Mutex<HashMap<(String, Existing), Store>>,
    clients: Arc<Clients>,
    /// The open objects by name. As paths, names that differ only in a repeated slash would be equal.
    files: Mutex<HashMap<String, Arc<Mutex<Option<Opened>>>>>,
    /// The disks in prefixes, by the name of the prefix and whether the prefixes inside it are included.
    lists: Mutex<HashMap<(String, bool), Listed>>,
    cache: Arc<Cache>,
    permits: Permits,
}

/// An open object, or why it could not be opened.
type Opened = Result<RemoteFile, Arc<io::Error>>;

/// The disks in a prefix, or the error of the server.
pub(crate) type Listed = Result<Arc<[Address]>, Arc<io::Error>>;

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("options", &self.0.options).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// Begins a session.
    pub fn new(options: RemoteOptions) -> Self {
        let cache = Arc::new(Cache::new(options.cache));
        let clients = Arc::new(Clients::new(&options));
        Self(Arc::new(Session {
            options,
            clients,
            addresses: Mutex::default(),
            stores: Mutex::default(),
            files: Mutex::default(),
            lists: Mutex::default(),
            cache,
            permits: Permits::new(),
        }))
    }

    /// Begins a session with the [options of the environment](RemoteOptions::from_env).
    pub fn from_env() -> Self {
        Self::new(RemoteOptions::from_env())
    }

    /// Adds a URL, and returns the name by which the other functions know it: the URL without its query.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a URL that cannot be used, without any part of it that may be secret.
    pub fn add(&self, url: &str) -> io::Result<PathBuf> {
        let address = Address::parse(url)?;
        address.ensure_encrypted(self.0.options.allow_http)?;
        let name = address.name();
        let mut addresses = locked(&self.0.addresses);
        match addresses.get(&name) {
            Some(known) if *known != address => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "two URLs that differ only in their query cannot be used in one command",
            )),
            _ => {
                addresses.insert(name.clone(), address);
                Ok(name.into())
            }
        }
    }

    pub(crate) fn address(&self, name: &Path) -> io::Result<Address> {
        let text = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let known = locked(&self.0.addresses).get(text).cloned();
        match known {
            Some(address) => Ok(address),
            None => {
                let address = Address::parse(text)?;
                address.ensure_encrypted(self.0.options.allow_http)?;
                Ok(address)
            }
        }
    }

    pub(crate) fn lists(&self) -> MutexGuard<'_, HashMap<(String, bool), Listed>> {
        locked(&self.0.lists)
    }

    fn store(&self, address: &Address, existing: Existing) -> io::Result<Store> {
        let place = if address.can_list() { address.origin.clone() } else { address.url() };
        let key = (place, existing);
        let mut stores = locked(&self.0.stores);
        if let Some(store) = stores.get(&key) {
            return Ok(store.clone());
        }
        let store = Store::new(address, existing, &self.0.options, &self.0.clients)?;
        stores.insert(key, store.clone());
        Ok(store)
    }

    /// Opens an object by its name or URL. An object that is open already is not opened again, and neither is one that
    /// could not be opened in this session.
    ///
    /// # Errors
    /// Those of the server: [`io::ErrorKind::NotFound`], [`io::ErrorKind::PermissionDenied`] and others.
    pub fn open(&self, name: &Path) -> io::Result<RemoteFile> {
        let text = name.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let place = Arc::clone(locked(&self.0.files).entry(text).or_default());
        // Held while the object is opened, so that two threads do not open it twice.
        let mut place = locked(&place);
        let opened = place.get_or_insert_with(|| self.open_new(name).map_err(Arc::new));
        opened.clone().map_err(|error| io::Error::new(error.kind(), error))
    }

    fn open_new(&self, name: &Path) -> io::Result<RemoteFile> {
        let address = self.address(name)?;
        let object = Object {
            store: self.store(&address, Existing::Replace)?.objects,
            path: Store::path(&address)?,
            permits: self.0.permits.clone(),
            first_wait: self.0.options.first_wait,
        };
        RemoteFile::open(name.to_owned(), object, Arc::clone(&self.0.cache))
    }

    /// Lists the objects directly in a prefix, sorted by name; or also those in all prefixes inside it.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a web server, which has no lists; an error for more than
    /// [`MAX_LISTED`](crate::MAX_LISTED) objects; those of the server.
    pub fn list(&self, prefix: &Path, is_recursive: bool) -> io::Result<Vec<RemoteEntry>> {
        let entries = self.list_addresses(&self.address(prefix)?.as_folder(), is_recursive)?;
        let entry = |(address, size): (Address, u64)| RemoteEntry { name: address.name().into(), size };
        Ok(entries.into_iter().map(entry).collect())
    }

    pub(crate) fn list_addresses(
        &self,
        folder: &Address,
        is_recursive: bool,
    ) -> io::Result<Vec<(Address, u64)>> {
        let Some(lists) = self.store(folder, Existing::Replace)?.lists else {
            let message = "a web server cannot list its files";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        };
        let (folder, timeout) = (folder.clone(), self.0.options.list_timeout);
        runtime::wait(async move { listing::list(&*lists, &folder, is_recursive, timeout).await })
    }

    /// Returns an error if an upload would fail at its beginning.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub fn ensure_uploadable(&self, name: &Path, size: u64, replace: bool) -> io::Result<()> {
        let (store, path) = self.place_of_upload(name, replace)?;
        upload::ensure_possible(&store, &path, size, replace)
    }

    /// Begins the upload of an object of at most `size` bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the object exists and `replace` is false; [`io::ErrorKind::Unsupported`] for
    /// a web server; [`io::ErrorKind::FileTooLarge`] for more than an upload can have; those of the server.
    pub fn upload(&self, name: &Path, size: u64, replace: bool) -> io::Result<Upload> {
        let (store, path) = self.place_of_upload(name, replace)?;
        // The object will exist soon. Forget that it was missing.
        locked(&self.0.files).retain(|known, _| name.to_str() != Some(known));
        Upload::begin(store, path, size, replace)
    }

    fn place_of_upload(&self, name: &Path, replace: bool) -> io::Result<(Arc<dyn ObjectStore>, ObjectPath)> {
        let address = self.address(name)?;
        if !address.can_list() {
            let message = "an upload to a web server is not supported: use s3://, az:// or gs://";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let existing = if replace { Existing::Replace } else { Existing::Keep };
        Ok((self.store(&address, existing)?.objects, Store::path(&address)?))
    }
}
