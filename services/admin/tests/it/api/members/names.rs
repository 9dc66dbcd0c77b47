//! Names and groups over HTTP: what is set of them, and what is said of them beforehand.

use serde_json::{Value, json};
use tmtp_domain::Uid;

use super::{ANN, ANNS, BEN, Scene};

/// Goal: what is set of groups and members is shown, by halves too, and refused where it makes no sense; method: modes,
/// posters and absences.
#[tokio::test]
async fn rules_of_groups_and_members() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let patch =
        async |path: &str, body: &Value| world.call("PATCH", path, &world.operator, Some(body), &[]).await;
    let groups = format!("{}/groups", scene.path);
    let body = json!({ "gid": "The team", "members": [{ "alias": ANNS }] });
    let made = world.post(&groups, &body).await.expect(201);
    assert_eq!((&made["group"]["mode"], &made["group"]["posters"]), (&json!("free"), &json!([])));
    let group = format!("{groups}/The%20team");
    let posters = json!([BEN.to_string()]);
    let shown = patch(&group, &json!({ "mode": "announce", "posters": posters })).await.expect(200);
    assert_eq!((&shown["mode"], &shown["posters"]), (&json!("announce"), &posters));
    let shown = patch(&group, &json!({ "mode": "moderated" })).await.expect(200);
    assert_eq!((&shown["mode"], &shown["posters"]), (&json!("moderated"), &posters));
    let shown = patch(&group, &json!({ "posters": null })).await.expect(200);
    assert_eq!((&shown["mode"], &shown["posters"]), (&json!("moderated"), &json!([])));
    assert_eq!(world.get(&group).await.expect(200), shown);
    let nobody = json!({ "posters": [Uid([9; 20]).to_string()] });
    assert_eq!(patch(&group, &nobody).await.problem(422), "invalid");
    assert_eq!(patch(&group, &json!({ "mode": null })).await.problem(422), "invalid");
    let other = format!("{groups}/No%20team");
    assert_eq!(patch(&other, &json!({ "mode": "open" })).await.problem(404), "not_found");

    let rules = scene.of(ANN, "/rules");
    let away = json!({ "text": "back soon", "until": "2126-01-01T00:00:00Z", "delegate": BEN.to_string() });
    let shown = patch(&rules, &json!({ "receive_only": true, "away": away })).await.expect(200);
    assert_eq!(shown["receive_only"], json!(true));
    assert_eq!(shown["away"]["delegate"], json!(BEN.to_string()));
    let shown = patch(&rules, &json!({ "receive_only": false })).await.expect(200);
    assert_eq!((&shown["receive_only"], &shown["away"]["text"]), (&json!(false), &json!("back soon")));
    let shown = patch(&rules, &json!({ "away": null })).await.expect(200);
    assert_eq!(shown["away"], json!(null));
    assert_eq!(world.get(&scene.of(ANN, "")).await.expect(200), shown);
    for wrong in [
        json!({ "away": { "text": " " } }),
        json!({ "away": { "text": "x".repeat(141) } }),
        json!({ "away": { "text": "x", "until": "2020-01-01T00:00:00Z" } }),
        json!({ "away": { "text": "x", "delegate": ANN.to_string() } }),
        json!({ "receive_only": null }),
    ] {
        assert_eq!(patch(&rules, &wrong).await.problem(422), "invalid", "{wrong}");
    }
    let nobody = scene.of(Uid([9; 20]), "/rules");
    assert_eq!(patch(&nobody, &json!({ "receive_only": true })).await.problem(404), "not_found");
}

/// Goal: it is said beforehand what a registration would be refused for; method: names that the policy does not like, asked
/// for at a site with a policy and without, and once more with the same idempotency key.
#[tokio::test]
async fn names_are_checked_by_the_policy() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let path = format!("{}/aliases/check", scene.path);
    let check = async |alias: &str| world.post(&path, &json!({ "alias": alias })).await.expect(200);
    let wanted = ["Ann of A", "Postmaster of A", "ann bell a", "Ann Bell of A"];
    for alias in wanted {
        assert_eq!(check(alias).await["state"], "available", "{alias}");
    }
    let names = json!({ "characters_min": 10, "reserved": ["postmaster of a"], "lookalikes": false });
    world.patch(&format!("{}/policy", scene.path), &json!({ "names": names })).await.expect(200);
    for (alias, state) in wanted.into_iter().zip(["too_short", "reserved", "lookalike", "available"]) {
        let checked = check(alias).await;
        assert_eq!(checked["state"], state, "{alias}");
        let text = checked["text"].as_str();
        assert_eq!(
            text.is_some_and(|text| text.starts_with("site policy: ")),
            state != "available",
            "{checked}"
        );
    }
    let once = [("idempotency-key", "one")];
    let body = json!({ "alias": "Ann Bell of A" });
    let ask = async || world.call("POST", &path, &world.operator, Some(&body), &once).await;
    let first = ask().await.expect(200);
    world.post(&scene.of(ANN, "/aliases"), &body).await.expect(201);
    let again = ask().await;
    assert_eq!((again.expect(200), again.header("idempotent-replayed")), (first, "true"));
    assert_eq!(check("Ann Bell of A").await["state"], "taken");
}

/// Goal: a request about members of a group is answered alike when it comes again, whoever has which alias by then; asked
/// beforehand, it says what would become of each, and changes nothing. Method: one of two is refused, and the other's
/// alias goes.
#[tokio::test]
async fn places_are_told_of_the_right_members() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let groups = format!("{}/groups", scene.path);
    let body = json!({ "gid": "The team", "members": [{ "alias": ANNS }] });
    world.post(&groups, &body).await.expect(201);
    let aliases = scene.of(ANN, "/aliases");
    world.post(&aliases, &json!({ "alias": "Ann the other" })).await.expect(201);
    let members = format!("{groups}/The%20team/members");
    let change = json!({ "add": [{ "uid": BEN.to_string(), "alias": ANNS }, { "alias": "Nobody at all" }],
                         "drop": [{ "alias": "Ann the other" }, { "uid": BEN.to_string() }] });
    let tried = world.post(&format!("{members}?dry_run=true"), &change).await.expect(200);
    assert_eq!(world.get(&members).await.expect(200)["data"][0]["status"], "joined", "nothing has changed");
    let ask = async || {
        let once = [("idempotency-key", "one")];
        world.call("POST", &members, &world.operator, Some(&change), &once).await
    };
    let first = ask().await.expect(200);
    let told: Vec<(&Value, &Value)> =
        first["results"].as_array().unwrap().iter().map(|one| (&one["uid"], &one["error"])).collect();
    let (ann, ben) = (json!(ANN.to_string()), json!(BEN.to_string()));
    let errors = [
        json!("the alias is not the member's"),
        json!("there is no such member"),
        Value::Null,
        json!("the group does not know the member"),
    ];
    let expected = [(&ben, &errors[0]), (&Value::Null, &errors[1]), (&ann, &errors[2]), (&ben, &errors[3])];
    assert_eq!(told, expected);
    assert_eq!(tried, first, "what was foretold");
    world.delete(&format!("{aliases}/Ann%20the%20other")).await.expect(204);
    let again = ask().await;
    assert_eq!((again.expect(200), again.header("idempotent-replayed")), (first, "true"));
}
