//! Gateways that are to let their links go, and how each of them stands. Lost with Redis: a gateway that was drained
//! takes links again then.

use redis::pipe;
use tmtp_domain::GatewayId;
use uuid::Uuid;

use crate::{Bus, Error, keys};

/// How a gateway stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatewayState {
    /// Links that are open.
    pub links: u64,
    /// It takes no links.
    pub is_drained: bool,
    /// It is to take none.
    pub drain_wanted: bool,
}

impl Bus {
    /// Says how this gateway stands, and tells whether it is to let its links go.
    pub async fn report_gateway(
        &self,
        gateway: GatewayId,
        links: u64,
        is_drained: bool,
    ) -> Result<bool, Error> {
        let field = gateway.to_string();
        let state = format!("{links} {}", u8::from(is_drained));
        let (wanted,): (bool,) = self
            .link
            .pipeline(
                pipe()
                    .cmd("HSET")
                    .arg(keys::GATEWAY_STATES)
                    .arg(&field)
                    .arg(state)
                    .ignore()
                    .cmd("HEXISTS")
                    .arg(keys::DRAINED)
                    .arg(&field),
            )
            .await?;
        Ok(wanted)
    }

    /// Asks a gateway to let its links go, or to take links again. It hears of it within seconds.
    pub async fn ask_to_drain(&self, gateway: GatewayId, drain: bool) -> Result<(), Error> {
        let field = gateway.to_string();
        if drain {
            self.link.command(redis::cmd("HSET").arg(keys::DRAINED).arg(field).arg(1)).await
        } else {
            self.link.command(redis::cmd("HDEL").arg(keys::DRAINED).arg(field)).await
        }
    }

    /// How these gateways stand, in the same order. One that has not said anything yet has no links.
    pub async fn gateway_states(&self, gateways: &[GatewayId]) -> Result<Vec<GatewayState>, Error> {
        if gateways.is_empty() {
            return Ok(Vec::new());
        }
        let fields: Vec<String> = gateways.iter().map(ToString::to_string).collect();
        let (states, wanted): (Vec<Option<String>>, Vec<Option<String>>) = self
            .link
            .pipeline(
                pipe()
                    .cmd("HMGET")
                    .arg(keys::GATEWAY_STATES)
                    .arg(&fields)
                    .cmd("HMGET")
                    .arg(keys::DRAINED)
                    .arg(&fields),
            )
            .await?;
        let state = |(said, wanted): (Option<String>, Option<String>)| {
            let said = said.unwrap_or_default();
            let (links, drained) = said.split_once(' ').unwrap_or_default();
            GatewayState {
                links: links.parse().unwrap_or_default(),
                is_drained: drained == "1",
                drain_wanted: wanted.is_some(),
            }
        };
        Ok(states.into_iter().zip(wanted).map(state).collect())
    }

    /// Removes what is kept of a gateway that is gone.
    pub(crate) async fn forget_state(&self, id: Uuid) -> Result<(), Error> {
        let field = id.to_string();
        self.link
            .pipeline(
                pipe()
                    .cmd("HDEL")
                    .arg(keys::GATEWAY_STATES)
                    .arg(&field)
                    .ignore()
                    .cmd("HDEL")
                    .arg(keys::DRAINED)
                    .arg(&field)
                    .ignore(),
            )
            .await
    }
}
