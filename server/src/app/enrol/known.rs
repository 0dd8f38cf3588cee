//! What is stored about the parties of a request for enrolment, and the index of serials that goes with it.
//!
//! Rows are kept as they were read: they are what the commit takes for granted.

use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::limits;
use cordon_server_core::admit::{self, Credential, Known, Token};
use cordon_server_core::change::Draft;
use cordon_server_core::device::{Device, State};

use crate::app::{App, serial_row};
use crate::store::{Expected, Key, Row, StoreError};

/// What is stored about the parties of one request.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) token: Option<(Token, Row)>,
    /// The row of the request's serial, and under which key it is looked for.
    pub(super) serial: Option<(Key, Option<Row>)>,
    pub(super) device: Option<(Device, Row)>,
    /// Another device under a new board's serial.
    holder: Option<(Device, Row)>,
    model: Option<Text>,
    elsewhere: bool,
    denied: bool,
    queue_full: bool,
}

impl Loaded {
    /// The same as the policy wants it.
    pub(super) fn known(&self) -> Known<'_> {
        let device = |pair: &'_ Option<(Device, Row)>| pair.is_some();
        debug_assert!(
            !device(&self.holder) || device(&self.device),
            "a holder stands beside a board's device"
        );
        Known {
            token: self.token.as_ref().map(|(token, _)| token),
            device: self.device.as_ref().map(|(device, _)| device),
            holder: self.holder.as_ref().map(|(device, _)| device),
            model: self.model.as_ref(),
            elsewhere: self.elsewhere,
            denied: self.denied,
            queue_full: self.queue_full,
        }
    }
}

impl App {
    /// Loads what a request is about.
    pub(super) async fn parties(&self, request: &admit::Request) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        let model = match &request.credential {
            Credential::Token(id) => {
                let key = Key::Token(*id);
                let Some(row) = self.store.get(key.clone()).await? else { return Ok(loaded) };
                let token =
                    Token::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
                let model = token.order.model.clone();
                loaded.token = Some((token, row));
                model
            }
            Credential::Birth { .. } | Credential::Nothing => {
                loaded.queue_full = self.fleet.waiting(self.clock.now()) >= limits::APPROVAL_QUEUE;
                let model = self.model_of(request);
                loaded.model = Some(model.clone());
                model
            }
        };
        let key = Key::DeviceBySerial { model, serial: request.serial.clone() };
        let serial = self.store.get(key.clone()).await?;
        if let Some(found) = &serial {
            let device = self.load_device(serial_row(&key, &found.body)?).await?;
            loaded.device = Some(device.ok_or_else(|| StoreError::Corrupt(key.to_string()))?);
        }
        self.load_listed(&mut loaded, request, &key).await?;
        loaded.serial = Some((key, serial));
        let is_nobody = loaded.device.as_ref().is_none_or(|(device, _)| device.is_listed_only());
        loaded.elsewhere = is_nobody && self.is_elsewhere(request);
        self.load_board(&mut loaded).await?;
        if loaded.device.is_some() || loaded.token.is_none() {
            loaded.denied = self.store.get(Key::Pending(request.key)).await?.is_some();
        }
        Ok(loaded)
    }

    /// What a list of assets names: it counts if it is the very thing that asks, also where a person typed its model or its
    /// serial in other letters.
    async fn load_listed(
        &self,
        loaded: &mut Loaded,
        request: &admit::Request,
        key: &Key,
    ) -> Result<(), StoreError> {
        let Key::DeviceBySerial { model, serial: _ } = key else { return Ok(()) };
        let token = loaded.token.as_ref().map(|(token, _)| token);
        let is_the_one = |device: &Device| admit::is_the_one(device, request, token, model);
        if loaded.device.as_ref().is_some_and(|(device, _)| is_the_one(device)) {
            return Ok(());
        }
        let listed = self.fleet.listed_as(&request.serial);
        let found = listed.iter().find(|member| is_the_one(&member.device)).map(|member| member.id());
        loaded.device = match found {
            Some(id) => self.load_device(id).await?.filter(|(device, _)| is_the_one(device)),
            None => None,
        };
        Ok(())
    }

    /// For a new board: the device that it was built into, instead of whoever has its serial.
    async fn load_board(&self, loaded: &mut Loaded) -> Result<(), StoreError> {
        let board = loaded.token.as_ref().and_then(|(token, _)| token.order.binding.instead_of());
        let Some(board) = board else { return Ok(()) };
        if loaded.device.as_ref().is_some_and(|(device, _)| device.id == board) {
            return Ok(());
        }
        loaded.holder = loaded.device.take();
        loaded.device = self.load_device(board).await?;
        if loaded.device.is_none() {
            loaded.holder = None;
        }
        Ok(())
    }

    async fn load_device(&self, id: DeviceId) -> Result<Option<(Device, Row)>, StoreError> {
        let key = Key::Device(id);
        let Some(row) = self.store.get(key.clone()).await? else { return Ok(None) };
        let device = Device::from_body(&row.body).ok_or_else(|| StoreError::Corrupt(key.to_string()))?;
        Ok(Some((device, row)))
    }

    /// The model that a request is about: what it states, or what its serial is known under, or what its maker makes.
    fn model_of(&self, request: &admit::Request) -> Text {
        if let Some(hardware) = &request.hardware {
            return hardware.model.clone();
        }
        let anchor = match &request.credential {
            Credential::Birth { anchor, .. } => Some(anchor),
            Credential::Token(_) | Credential::Nothing => None,
        };
        // Whoever only asks may state any model; it counts for its own key alone.
        let counts = |device: &Device| {
            let own = device.asking.as_ref().is_some_and(|asking| asking.key == request.key);
            own || !matches!(device.state, State::Pending | State::Listed)
        };
        let members = self.fleet.by_serial(&request.serial);
        let devices = members.iter().map(|member| &*member.device).filter(|device| counts(device));
        let mut models: Vec<Text> = devices
            .map(|device| device.hardware.model.clone())
            .filter(|model| anchor.is_none_or(|anchor| anchor.covers(model)))
            .collect();
        models.sort_unstable();
        models.dedup();
        let only = anchor.map(|anchor| anchor.models.as_slice()).unwrap_or_default();
        match (models.as_slice(), only) {
            ([model], _) | ([], [model]) => model.clone(),
            _ => Text::lossy(""),
        }
    }

    /// Whether a birth certificate's serial has an identity under another model of its maker: one machine has one serial,
    /// and the model is its own word. Asked of the fleet in memory, as a second pair of eyes: what is committed is kept
    /// apart by the index of serials.
    fn is_elsewhere(&self, request: &admit::Request) -> bool {
        let Credential::Birth { anchor, .. } = &request.credential else { return false };
        self.fleet.by_serial(&request.serial).iter().any(|member| {
            let device = &member.device;
            device.identity.is_some() && device.hardware.manufacturer == anchor.manufacturer
        })
    }

    /// Writes the index of serials after the device. A changed board leaves its former serial, and whoever only asked
    /// under the new one.
    pub(super) async fn indexed(
        &self,
        mut draft: Draft,
        device: &Device,
        loaded: &Loaded,
    ) -> Result<Draft, StoreError> {
        let Some((key, row)) = &loaded.serial else { return Ok(draft) };
        draft = draft.expect(key.clone(), Expected::of(row.as_ref()));
        let leads_here = row.as_ref().is_some_and(|row| row.body == device.id.as_bytes());
        if !leads_here {
            draft = draft.put(key.clone(), device.id.as_bytes().to_vec());
        }
        // Whoever had an identity is somebody: the policy refuses before it comes to this. A line of a list stays.
        let is_only_asking = |holder: &Device| holder.identity.is_none() && !holder.is_listed_only();
        let asked_only = loaded.holder.as_ref().filter(|(holder, _)| is_only_asking(holder));
        if let Some((holder, row)) = asked_only {
            let key = Key::Device(holder.id);
            draft = draft.expect(key.clone(), Expected::of(Some(row))).delete(key);
        }
        let Some((before, _)) = &loaded.device else { return Ok(draft) };
        if key_of(before) != key_of(device) {
            let former = key_of(before);
            let row = self.store.get(former.clone()).await?;
            if row.as_ref().is_some_and(|row| row.body == before.id.as_bytes()) {
                draft = draft.expect(former.clone(), Expected::of(row.as_ref())).delete(former);
            }
        }
        Ok(draft)
    }
}

/// Under which key a device's serial is looked for.
fn key_of(device: &Device) -> Key {
    Key::DeviceBySerial { model: device.hardware.model.clone(), serial: device.hardware.serial.clone() }
}

/// The queue of requests about one device.
pub(super) fn queue_of_device(id: DeviceId) -> Sha256 {
    Sha256::of(id.as_bytes())
}
