//! What one's own key is.

use axum::Json;

use crate::api::caller::{Caller, may};
use crate::api::change::Shown;
use crate::api::openapi::Refusals;
use crate::keys::Key;

/// What the key of this request is
#[utoipa::path(get, path = "/v1/whoami", operation_id = "whoami", tag = "about", security(("key" = [])),
    responses((status = 200, description = "The key", body = Key), Refusals))]
pub(crate) async fn show(caller: Caller<may::HaveKey>) -> Shown<Key> {
    Ok(Json(Key::of(caller.key())))
}
