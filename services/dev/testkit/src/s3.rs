//! An S3 server of one's own: the real protocol with signatures, over plain HTTP, files in a temporary directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The one bucket.
pub const BUCKET: &str = "letters";
/// Who may use it.
pub const ACCESS_KEY: &str = "access";
/// With which password.
pub const SECRET_KEY: &str = "secret";

/// A server that can be stopped and started again with its objects and its port.
pub struct S3Server {
    dir: TempDir,
    service: S3Service,
    port: u16,
    tasks: Option<JoinSet<()>>,
}

impl S3Server {
    /// A server with an empty bucket, served by the runtime of the test.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("postern-s3-").tempdir().context("make a folder")?;
        fs::create_dir(dir.path().join(BUCKET)).context("make a bucket")?;
        let files = FileSystem::new(dir.path()).map_err(|error| anyhow!("open the folder: {error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let mut server = Self { dir, service: builder.build(), port: crate::free_port(), tasks: None };
        server.start_again().await?;
        Ok(server)
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file of an object.
    pub fn file(&self, key: &str) -> PathBuf {
        self.bucket().join(key)
    }

    /// The folder of all objects.
    pub fn bucket(&self) -> PathBuf {
        let dir: &Path = self.dir.path();
        dir.join(BUCKET)
    }

    /// How many objects there are whose names begin with this folder.
    pub fn objects(&self, under: &str) -> usize {
        fn count(path: &Path) -> usize {
            let Ok(entries) = fs::read_dir(path) else { return 0 };
            entries.flatten().map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.file(under))
    }

    /// Ends the listener and all connections.
    pub async fn stop(&mut self) {
        if let Some(mut tasks) = self.tasks.take() {
            tasks.shutdown().await;
        }
    }

    /// Listens again after a stop.
    pub async fn start_again(&mut self) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.context("listen")?;
        let service = self.service.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Dropped with this task, which ends the connections, too.
            let mut connections = JoinSet::new();
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let service = service.clone();
                connections.spawn(async move {
                    let http = auto::Builder::new(TokioExecutor::new());
                    // A connection that breaks is the client's to notice.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        self.tasks = Some(tasks);
        Ok(())
    }
}
