//! An S3 server of one's own: the real protocol with signatures, over plain HTTP, files in a temporary directory.

use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub const BUCKET: &str = "letters";
pub const ACCESS_KEY: &str = "access";
pub const SECRET_KEY: &str = "secret";

/// A server that can be stopped and started again with its objects and its port.
pub struct S3Server {
    dir: TempDir,
    service: S3Service,
    port: u16,
    tasks: Option<JoinSet<()>>,
}

impl S3Server {
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("postern-s3-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let mut server = Self { dir, service: builder.build(), port: tmtp_testkit::free_port(), tasks: None };
        server.start_again().await;
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The file of an object.
    pub fn file(&self, key: &str) -> PathBuf {
        self.bucket().join(key)
    }

    pub fn bucket(&self) -> PathBuf {
        let dir: &Path = self.dir.path();
        dir.join(BUCKET)
    }

    /// Ends the listener and all connections.
    pub async fn stop(&mut self) {
        if let Some(mut tasks) = self.tasks.take() {
            tasks.shutdown().await;
        }
    }

    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
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
    }
}
