//! Example maps for the tests of the formats.

use super::{Connection, Dependency, End, Map, MapInterface, MapService, Place, PlacedInstance};
use crate::engine::Condition;
use crate::requires::Requirement;

fn place(name: Option<&str>, instances: &[(&str, Condition)], interfaces: &[(&str, &str, &str)]) -> Place {
    Place {
        namespace: name.map(|name| name.parse().unwrap()),
        exists: true,
        instances: instances
            .iter()
            .map(|(nstype, state)| PlacedInstance {
                nstype: nstype.parse().unwrap(),
                state: *state,
                published: Vec::new(),
                masqueraded: Vec::new(),
            })
            .collect(),
        interfaces: interfaces
            .iter()
            .map(|(name, kind, address)| MapInterface {
                name: (*name).to_owned(),
                kind: (*kind).to_owned(),
                up: true,
                addresses: vec![(*address).to_owned()],
            })
            .collect(),
    }
}

fn end(namespace: Option<&str>, interface: &str) -> End {
    End { namespace: namespace.map(|name| name.parse().unwrap()), interface: interface.to_owned() }
}

/// Two connected namespaces; one of them is connected to the network of the host.
pub(super) fn pair() -> Map {
    use Condition::Up;
    Map {
        places: vec![
            place(None, &[], &[("eth0", "", "192.0.2.2/24")]),
            place(
                Some("nsbrowser"),
                &[("nft", Up), ("veth", Up)],
                &[("ve-nsbrowser1", "veth", "198.51.100.1/30")],
            ),
            place(
                Some("nstor"),
                &[("macvlan", Up), ("nft", Up)],
                &[("macvlan0", "macvlan", "192.0.2.7/24"), ("ve-nsbrowser0", "veth", "198.51.100.2/30")],
            ),
        ],
        links: vec![
            Connection {
                kind: "macvlan".to_owned(),
                from: end(Some("nstor"), "macvlan0"),
                to: end(None, "eth0"),
            },
            Connection {
                kind: "veth".to_owned(),
                from: end(Some("nsbrowser"), "ve-nsbrowser1"),
                to: end(Some("nstor"), "ve-nsbrowser0"),
            },
        ],
        requires: vec![
            Dependency {
                instance: "nft@nstor".parse().unwrap(),
                needs: Requirement::Instance("macvlan@nstor".parse().unwrap()),
            },
            Dependency {
                instance: "veth@nsbrowser".parse().unwrap(),
                needs: Requirement::Namespace("nstor".parse().unwrap()),
            },
            Dependency {
                instance: "veth@nsbrowser".parse().unwrap(),
                needs: Requirement::Unit("network.target".to_owned()),
            },
        ],
        attached: vec![MapService {
            unit: "browser.service".to_owned(),
            state: Some(Up),
            namespace: "nsbrowser".parse().unwrap(),
            instances: vec!["veth@nsbrowser".parse().unwrap()],
        }],
        ..Map::default()
    }
}

/// A namespace with an instance, and an attached service, in each state.
pub(super) fn all_states() -> Map {
    use Condition::{Changing, Down, Failed, Up};
    let instances = [("lo", Up), ("veth", Changing), ("nft", Failed), ("macvlan", Down)];
    let mut map = Map { places: vec![place(Some("a"), &instances, &[])], ..Map::default() };
    for (unit, state) in
        [("w", Some(Up)), ("x", Some(Changing)), ("y", Some(Failed)), ("z", Some(Down)), ("v", None)]
    {
        map.attached.push(MapService {
            unit: format!("{unit}.service"),
            state,
            namespace: "a".parse().unwrap(),
            instances: vec!["lo@a".parse().unwrap()],
        });
    }
    map
}

/// An interface with a name that the kernel allows and that every format must escape.
pub(super) fn hostile() -> Map {
    let interfaces = [("<script>\"&]`#", "veth", "192.0.2.1/30")];
    Map { places: vec![place(Some("a"), &[], &interfaces)], ..Map::default() }
}
