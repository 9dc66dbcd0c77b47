//! `tmtpctl check-delivery`: shows on a running deployment that messages get through, for a check after an install. It
//! takes a site of its own, so that no member of any other notices; it leaves nobody behind, and the site closed.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tmtp_client::{Client, Connect, Trust};
use tmtp_domain::parse_host;
use tmtp_wire::{Request, Response};
use tokio::time::{Instant, sleep, timeout_at};

use crate::api::{Access, Api, segment};
use crate::hand::request_id;
use crate::server::{dial, trust};
use crate::text::printable;

/// From a message's ack to its arrival.
const MESSAGE_WAIT: Duration = Duration::from_secs(30);
const TRY_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct CheckDelivery {
    #[command(flatten)]
    access: Access,
    /// Where the first account connects
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// Where the second account connects; the same if not given
    #[arg(long, value_name = "HOST:PORT")]
    second: Option<String>,
    /// A host name for a site that only these checks use; made if there is none. Nobody has to be able to look it up
    #[arg(long, value_parser = parse_host)]
    domain: String,
    /// For how long gateways may not know the site yet. They learn of it within seconds, once there are workers
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    site_wait: u64,
    /// Believe any certificate
    #[arg(long, required_unless_present = "ca", conflicts_with = "ca")]
    insecure: bool,
    /// Believe certificates that this one, or one of this file, has signed (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<std::path::PathBuf>,
}

/// An account that is made for the check, and connected.
struct Person {
    client: Client,
    uid: String,
}

impl CheckDelivery {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let api = self.access.open()?;
        let trust = trust(self.ca.as_deref())?;
        let site = open_site(&api, &self.domain).await?;
        let mut made = Vec::new();
        let told = self.exchange(&site.name, &trust, &mut made).await;
        // Whatever came of it.
        let cleared = clear(&api, &site.path, &made).await;
        told?;
        cleared?;
        println!("two accounts exchanged messages, and are erased");
        Ok(())
    }

    /// Two people register, each writes to the other, and each receives it. Who registered is noted in `made`.
    async fn exchange(&self, site: &str, trust: &Trust, made: &mut Vec<String>) -> anyhow::Result<()> {
        let second = self.second.as_ref().unwrap_or(&self.server);
        let mut ann = self.join(&self.server, site, trust, made).await?;
        let mut ben = self.join(second, site, trust, made).await?;
        send(&mut ann, &mut ben).await.context("from the first account to the second")?;
        send(&mut ben, &mut ann).await.context("from the second account to the first")?;
        for person in [ann, ben] {
            person.client.quit().await.context("end a connection")?;
        }
        Ok(())
    }

    /// Registers, as soon as the server knows the site and that it is open.
    async fn join(
        &self,
        server: &str,
        site: &str,
        trust: &Trust,
        made: &mut Vec<String>,
    ) -> anyhow::Result<Person> {
        let end = Instant::now() + Duration::from_secs(self.site_wait);
        loop {
            let error = match timeout_at(end, self.register(server, site, trust)).await {
                Ok(Ok(person)) => {
                    println!("{server}: registered");
                    made.push(person.uid.clone());
                    return Ok(person);
                }
                Ok(Err(error)) => error,
                Err(late) => late.into(),
            };
            if Instant::now() + TRY_EVERY > end {
                return Err(error.context(format!("cannot register at {server}")));
            }
            sleep(TRY_EVERY).await;
        }
    }

    /// Registers at this site only: a gateway that does not know its host name yet leads to the default site.
    async fn register(&self, server: &str, site: &str, trust: &Trust) -> anyhow::Result<Person> {
        let connect = Connect {
            address: dial(server).await?,
            server_name: Some(self.domain.clone()),
            trust: trust.clone(),
        };
        let (mut client, greeting) = Client::open(&connect).await?;
        let shown = &greeting.name;
        ensure!(shown == site, "there is the site {} and not {}", printable(shown), printable(site));
        let request = Request::Register {
            new_node: "check-delivery".to_owned(),
            new_alias: "_".to_owned(),
            oidc: None,
            invite: None,
        };
        client.send(&request, &[]).await?;
        let account = client.registered().await?;
        Ok(Person { client, uid: account.uid })
    }
}

/// Sends a message, and waits until it has come as it was sent.
async fn send(from: &mut Person, to: &mut Person) -> anyhow::Result<()> {
    let text = format!("Is delivery all right? {}", request_id()?);
    let end = Instant::now() + MESSAGE_WAIT;
    let id = request_id()?;
    let posted = timeout_at(end, from.client.post(&id, &[&to.uid], &[], text.as_bytes())).await;
    let receipt = posted.context("expected an ack in time")?.context("send a message")?;
    let received = timeout_at(end, receive(to, &receipt.msg_id));
    let data = received.await.context("the message was acked, and did not come in time")??;
    ensure!(
        data == text.as_bytes(),
        "the message came changed: {}",
        printable(&String::from_utf8_lossy(&data))
    );
    println!("message {} delivered", printable(&receipt.msg_id));
    Ok(())
}

/// The data of a message. Whatever else comes (notices of logins) is acknowledged as well.
async fn receive(person: &mut Person, msg_id: &str) -> anyhow::Result<Vec<u8>> {
    loop {
        let frame = person.client.next().await?.context("the server closed the connection")?;
        let Some(std) = frame.response.std() else { continue };
        person.client.ack(&std.id).await.context("acknowledge a message")?;
        if std.id == msg_id && matches!(frame.response, Response::Delivery { .. }) {
            return Ok(frame.data);
        }
    }
}

/// The site of these checks.
struct Site {
    /// Where it is in the API.
    path: String,
    /// What clients show.
    name: String,
}

/// Makes sure that the site exists and takes everybody.
async fn open_site(api: &Api, domain: &str) -> anyhow::Result<Site> {
    let sites = api.list("/v1/sites", &[("q", domain.to_owned())], 1_000).await?;
    let has =
        |site: &&Value| site["domains"].as_array().is_some_and(|all| all.iter().any(|one| one == domain));
    let place = |site: &Value| {
        let part =
            |name: &str| site[name].as_str().with_context(|| format!("the API showed a site without {name}"));
        anyhow::Ok(Site { path: format!("/v1/sites/{}", part("id")?), name: part("name")?.to_owned() })
    };
    if let Some(site) = sites.iter().find(has) {
        let site = place(site)?;
        api.patch(&site.path, &json!({ "registration": "open" })).await.context("open the site")?;
        return Ok(site);
    }
    let site = json!({ "name": "Delivery check", "domains": [domain], "registration": "open" });
    place(&api.post("/v1/sites", &site).await.context("make a site")?)
}

/// Closes the site, and erases who is in it because of us. Goes on after an error, and gives the first.
async fn clear(api: &Api, site: &str, made: &[String]) -> anyhow::Result<()> {
    let closed = api.patch(site, &json!({ "registration": "closed" })).await.context("close the site");
    let mut outcome = closed.map(drop);
    for uid in made {
        let erased = async {
            let job = api.delete(&format!("{site}/members/{}", segment(uid))).await?;
            api.wait(&job).await
        };
        outcome = outcome.and(erased.await.context("erase an account").map(drop));
    }
    outcome
}
