//! Every size, count and age bound of the house, on one page.
//!
//! Parsers take their limit from here; nothing else in the project states a bound of its own. Figures that an owner
//! may tighten are defaults of the configuration; none may be loosened beyond what stands here.

/// Seconds a TLS handshake may take.
pub const TLS_HANDSHAKE_S: u64 = 5;
/// Milliseconds a connection waits for its handshake to begin while others are under way. Whoever waits longer is sent
/// away at once, so that those who are let in are served soon and the others come again when they choose to.
pub const HANDSHAKE_QUEUE_MS: u64 = 1000;
/// Seconds in which the head of a request must have arrived.
pub const HEADERS_S: u64 = 5;
/// Bytes of a request's head.
pub const HEADERS_BYTES: usize = 16 * 1024;
/// Bytes of an ordinary request body.
pub const BODY_BYTES: usize = 64 * 1024;
/// Bytes of a request for a rollout: the hardware identities of about 60,000 devices.
pub const ROLLOUT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of an EST request body.
pub const EST_BODY_BYTES: usize = 16 * 1024;
/// Bytes of a telemetry body as sent.
pub const TELEMETRY_BYTES: usize = 256 * 1024;
/// Bytes of a telemetry body after decompression.
pub const TELEMETRY_DECOMPRESSED_BYTES: usize = 4 * 1024 * 1024;
/// Bytes a second below which a body is given up, on either side.
pub const BODY_BYTES_PER_S: u64 = 1024;
/// Seconds an idle connection is kept outside a wait.
pub const IDLE_CONNECTION_S: u64 = 60;
/// Seconds a long poll may wait.
pub const WAIT_S: u64 = 300;
/// Default seconds between two check-ins.
pub const CHECKIN_S: u32 = 300;
/// Seconds without a byte after which a download is given up.
pub const DOWNLOAD_STALL_S: u64 = 30;
/// Mirrors of one repository that are asked in turn, the server among them.
pub const MIRRORS: usize = 8;
/// Bytes a second below which a site's mirror is given up and the next one asked.
pub const MIRROR_BYTES_PER_S: u64 = 64 * 1024;
/// Kilobits a second of the lowest bandwidth cap for images: below it a server would take the device for stalled.
pub const IMAGE_KBIT_S_LEAST: u64 = 256;
/// Kilobits a second of the highest bandwidth cap for images.
pub const IMAGE_KBIT_S_MOST: u64 = 10_000_000;
/// Milliseconds of the cap that image bytes may come at once after a lull.
pub const IMAGE_BURST_MS: u64 = 250;
/// Milliseconds after which what a server holds in memory of a store that others write too is no longer believed.
pub const VIEW_AGE_MS: u64 = 1000;
/// Milliseconds between two looks at a shared store for what other servers changed.
pub const FOLLOW_MS: u64 = 250;
/// Milliseconds for which one server has a job to itself unless it asks again: how long a killed server's work waits.
pub const LEASE_MS: u32 = 5000;
/// Rows of one page of a list.
pub const PAGE_ROWS: usize = 500;
/// Connections the server holds at once on one plane.
pub const CONNECTIONS: usize = 4096;
/// Handshakes under way at once on one plane.
pub const HANDSHAKES: usize = 512;

/// Bytes of a paper that goes along with a release: bill of materials, exploitability statements, usage description.
pub const PAPER_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of the notes on a release.
pub const NOTES_BYTES: u64 = 64 * 1024;
/// Drafts of orders that a server keeps at once.
pub const DRAFTS: usize = 32;
/// Bytes of a draft with the lists of its scopes.
pub const DRAFT_BYTES: usize = 4 * 1024 * 1024;
/// Days a draft waits for its signatures.
pub const DRAFT_DAYS: i64 = 14;
/// Orders that one draft adds and withdraws together.
pub const DRAFT_INTENTS: usize = 2 * ORDERS;
/// Seconds by which the clocks of two workstations may differ before one of them must not sign.
pub const SIGNING_CLOCK_S: i64 = 300;
/// Seconds by which a workstation's clock may differ from the server's.
pub const SERVER_CLOCK_S: i64 = 24 * 3600;

/// Nesting of any JSON document from outside.
pub const JSON_DEPTH: usize = 64;
/// Characters of a text that a device or a file says about itself.
pub const TEXT_CHARS: usize = 256;
/// Characters of a name (repository, order, role, segment of a target path).
pub const NAME_CHARS: usize = 128;
/// Characters of a target path.
pub const TARGET_PATH_CHARS: usize = 256;

/// Bytes of a TUF root.
pub const TUF_ROOT_BYTES: usize = 512 * 1024;
/// Bytes of a TUF timestamp.
pub const TUF_TIMESTAMP_BYTES: usize = 16 * 1024;
/// Bytes of a TUF snapshot.
pub const TUF_SNAPSHOT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a TUF targets role.
pub const TUF_TARGETS_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a TUF root on a device.
pub const DEVICE_ROOT_BYTES: usize = 32 * 1024;
/// Bytes of a TUF timestamp on a device.
pub const DEVICE_TIMESTAMP_BYTES: usize = 4 * 1024;
/// Bytes of a TUF snapshot on a device.
pub const DEVICE_SNAPSHOT_BYTES: usize = 64 * 1024;
/// Bytes of any targets role on a device.
pub const DEVICE_TARGETS_BYTES: usize = 128 * 1024;
/// Root files walked to find the first trusted director root.
pub const FIRST_ROOTS: u64 = 64;
/// Root versions followed in one refresh.
pub const ROOT_ROTATIONS: u64 = 1024;
/// Delegated roles visited for one target.
pub const DELEGATIONS: usize = 32;
/// Live orders in one document.
pub const ORDERS: usize = 128;
/// Devices in one scope set.
pub const SCOPE_SET: u64 = 1 << 20;
/// Hashes of one inclusion proof.
pub const PROOF_HASHES: usize = 64;
/// Default seconds for which a permit stays fresh.
pub const PERMIT_S: u32 = 900;
/// Bytes of one firmware image.
pub const IMAGE_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Hardware revisions one release fits.
pub const RELEASE_HARDWARE: usize = 32;
/// Deltas, or dates of support, of one release.
pub const RELEASE_ENTRIES: usize = 16;
/// Files of an image's own list that a device hashes.
pub const DECLARED_FILES: u32 = 256;
/// Bytes of all of them together that it reads.
pub const DECLARED_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of an SBOM, VEX or MUD file that the server reads to say what it is; a longer one is kept and not read.
pub const SBOM_BYTES: u64 = 32 * 1024 * 1024;
/// Components of an SBOM, or entries of a VEX.
pub const SBOM_COMPONENTS: usize = 100_000;
/// Dependencies that an SBOM names.
pub const SBOM_NEEDS: usize = 1_000_000;
/// Characters kept of a name, a version or a licence in an SBOM.
pub const SBOM_TEXT: usize = 512;
/// Windows of one order.
pub const WINDOWS: usize = 16;
/// Longest life of a permit that an order may set.
pub const PERMIT_MAX_S: u32 = 24 * 3600;
/// Pause after a stick was pulled out; what is in the slot is hashed at each try.
pub const STICK_PAUSE_S: i64 = 60;
/// Bytes of the index of a bundle.
pub const BUNDLE_BYTES: usize = 64 * 1024;
/// Files that a bundle lists.
pub const BUNDLE_FILES: usize = 256;
/// Acts that a bundle is made for.
pub const BUNDLE_OFFERS: usize = 16;
/// Days that a bundle lives at most.
pub const BUNDLE_DAYS: i64 = 14;
/// Days the document of orders may live; no order outlives its document.
pub const ORDERS_DAYS: i64 = 90;
/// Bytes of a change of owner as it is carried, its list of devices included.
pub const HAND_OVER_BYTES: usize = 128 * 1024;
/// Devices of one change of owner that comes with a list.
pub const HAND_OVER_DEVICES: usize = 1024;
/// Days a change of owner may live.
pub const HAND_OVER_DAYS: i64 = 90;
/// Per cent of charge below which a device on battery does not reboot for an update.
pub const BATTERY_PERCENT: u8 = 50;
/// Boots a trial gets before the loader falls back, and starts of the agent before it goes back by itself.
pub const TRIAL_BOOTS: u8 = 3;
/// Seconds in which a trial must be healthy and have checked in; once as many again where the network itself is down.
pub const TRIAL_S: u32 = 3600;
/// Seconds of a trial that are charged ahead at least; about twice in a minute the charge is stored.
pub const TRIAL_STEP_S: u32 = 30;
/// Milliseconds before a check of a trial that said no is made again for the first time.
pub const TRIAL_PAUSE_MS: i64 = 5000;
/// Attempts to reach the server, one after the other, that must meet nobody before the network counts as down.
pub const DARK_ATTEMPTS: u32 = 3;
/// Times an order's image may arrive damaged before the device gives the order up.
pub const IMAGE_TRIES: u8 = 3;
/// Times a device's own installer may refuse an image before the device gives the order up.
pub const INSTALL_TRIES: u8 = 6;
/// Seconds to wait after a damaged image before it is fetched again.
pub const IMAGE_PAUSE_S: i64 = 10;
/// Seconds to wait after a full disk, a failing slot, or an installer that refused.
pub const SLOT_PAUSE_S: i64 = 300;
/// Orders a device remembers not to take again; more than one document can hold.
pub const GIVEN_UP: usize = 2 * ORDERS;
/// Metadata versions kept in the security state, those of all owners together.
pub const HELD_VERSIONS: usize = 384;
/// Owners of whom a device keeps the last bundle and the versions beside the present one's.
pub const HELD_OWNERS: usize = 64;
/// Bytes of a device's security state.
pub const SECURITY_STATE_BYTES: usize = 192 * 1024;
/// Bytes of a boot control document.
pub const BOOT_STATE_BYTES: usize = 4096;
/// Entries of the archive of a folder.
pub const TREE_ENTRIES: u32 = 65_536;
/// Names within names of such an entry.
pub const TREE_DEPTH: usize = 32;
/// Bytes of an image written between two syncs of the slot.
pub const SLOT_SYNC_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes that the pieces of a chunk delta tend to, unless the image is so large that there would be too many.
pub const DELTA_AVERAGE_BYTES: u32 = 16 * 1024;
/// Bytes of the smallest bound below which no piece of a chunk delta is cut.
pub const DELTA_LEAST_BYTES: u32 = 1024;
/// Bytes of the largest piece of a chunk delta.
pub const DELTA_MOST_BYTES: u32 = 4 * 1024 * 1024;
/// Bytes of an image before a piece that may help to unpack it.
pub const DELTA_CONTEXT_BYTES: u32 = 64 * 1024;
/// Pieces of one chunk delta: what a device can keep in mind.
pub const DELTA_CHUNKS: usize = 128 * 1024;
/// Bytes of the index of a chunk delta.
pub const DELTA_INDEX_BYTES: u64 = 5 * 1024 * 1024;
/// Requests for parts of one chunk delta; beyond, more than needed is fetched.
pub const DELTA_REQUESTS: usize = 2000;
/// Of these, the ones that are asked without a pause: half of what a server lets one device ask in a row.
pub const DELTA_QUICK_REQUESTS: usize = 150;
/// Milliseconds between two later ones: slower than a server's leave grows again.
pub const DELTA_PAUSE_MS: u64 = 150;
/// Seconds an interlock lease lives unless it says otherwise.
pub const INTERLOCK_TTL_S: u32 = 60;
/// Seconds an interlock lease may ask for.
pub const INTERLOCK_TTL_MAX_S: u32 = 24 * 3600;
/// Seconds for which a person's release stands unless it says otherwise.
pub const INTERLOCK_RELEASE_S: u32 = 3600;
/// Seconds of silence after which a device whose maker asks for idleness alone counts as idle.
pub const INTERLOCK_IDLE_S: i64 = 600;
/// Interlock leases held at once.
pub const INTERLOCK_LEASES: usize = 64;
/// Bytes of one line on the interlock socket.
pub const INTERLOCK_LINE_BYTES: usize = 128;

/// Bytes of a captured packet that are read at most; only DNS, DHCP and the first words of TLS come as far as that.
pub const PACKET_BYTES: usize = 2048;
/// Bytes of captured packets in each of the two buffers of the agent, and half of what may wait in the kernel: 512 KiB in all.
pub const PACKETS_WAITING_BYTES: usize = 128 * 1024;
/// Live flows in the device's table.
pub const FLOWS: usize = 14_336;
/// Flows that are told at once when a recording ends.
pub const FLOWS_AT_ONCE: usize = 1024;
/// Digests of peers and ports by which one device is found among connections.
pub const CONTACT_TERMS: usize = 4096;
/// Bytes of the document that holds them.
pub const CONTACTS_BYTES: usize = 128 * 1024;
/// Devices whose rows one page of a search reads.
pub const SEARCH_DEVICES: usize = 1000;
/// Rows of one device that a search reads.
pub const SEARCH_ROWS: usize = 20_000;
/// Bytes of all detector state together.
pub const DETECTOR_BYTES: usize = 512 * 1024;
/// Keys in a learned profile.
pub const PROFILE_KEYS: usize = 4096;
/// Bytes of the device's spool.
pub const SPOOL_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of one spool segment.
pub const SPOOL_SEGMENT_BYTES: u64 = 1024 * 1024;
/// Records of one telemetry batch.
pub const BATCH_RECORDS: usize = 1000;
/// Bytes of one telemetry record.
pub const RECORD_BYTES: usize = 512 * 1024;
/// Rows of one inventory.
pub const INVENTORY_ROWS: usize = 20_000;
/// Values of one row of an inventory.
pub const ROW_FIELDS: usize = 16;
/// File systems in one record of health.
pub const HEALTH_DISKS: usize = 16;
/// Drives and arrays in one record of health.
pub const HEALTH_DRIVES: usize = 16;
/// Services in one record of health that were started anew.
pub const HEALTH_SERVICES: usize = 8;
/// Services whose starts a device counts.
pub const SERVICES: usize = 256;
/// Points that are kept of a device's health.
pub const HEALTH_POINTS: usize = 160;
/// Of these, the ones of the last days that may stand as they came.
pub const HEALTH_FINE_POINTS: usize = 64;
/// Evidence entries of one finding.
pub const EVIDENCE: usize = 32;

/// Extension headers of one IPv6 packet that are looked past.
pub const IPV6_EXTENSIONS: usize = 8;
/// Records of one DNS answer that are read.
pub const DNS_ANSWERS: u16 = 64;
/// Options of one DHCP message that are read.
pub const DHCP_OPTIONS: usize = 64;
/// Extensions of one ClientHello that are read.
pub const TLS_EXTENSIONS: usize = 48;
/// Bytes of a host name (RFC 1035, 2.3.4).
pub const HOST_NAME_BYTES: usize = 253;
/// Addresses that a device is known to have itself.
pub const HOME_ADDRESSES: usize = 64;
/// Seconds after the first DNS answer that was seen, from which on a peer without a name has none: what a device knew
/// before has run out by then.
pub const NAMES_SETTLE_S: i64 = 3600;
/// Addresses whose names are remembered from DNS answers.
pub const ADDRESS_NAMES: usize = 2048;
/// Neighbours whose hardware addresses are remembered.
pub const NEIGHBOURS: usize = 1024;
/// Bytes of one packet in a recording: as much as tcpdump ever writes.
pub const RECORDED_PACKET_BYTES: usize = 262_144;
/// Interfaces of one recording.
pub const RECORDED_INTERFACES: usize = 256;
/// Bytes of one line of a recorded list of connections.
pub const RECORDED_LINE_BYTES: usize = 64 * 1024;
/// Connections of a recorded list that are held back to be brought into order of time.
pub const RECORDED_REORDER: usize = 8192;
/// Devices that one recording is watched for; those beyond are not judged.
pub const RECORDED_DEVICES: usize = 1024;
/// Bytes of a file of learned profiles.
pub const PROFILES_BYTES: usize = 16 * 1024 * 1024;

/// Seconds without a sighting after which a flow that was never established, or has no connection, has ended.
pub const FLOW_IDLE_SHORT_S: i64 = 60;
/// Seconds without a sighting after which an established connection has ended.
pub const FLOW_IDLE_LONG_S: i64 = 600;
/// Seconds an ended connection is remembered, so that its `TIME_WAIT` is not taken for a new one (RFC 9293, 2 MSL).
pub const FLOW_LINGER_S: i64 = 75;
/// Seconds after which a live connection is reported although it has not ended.
pub const FLOW_ACTIVE_S: i64 = 1800;
/// Seconds one row of the routine flow report covers.
pub const REPORT_INTERVAL_S: i64 = 3600;
/// Rows of one routine flow report; what exceeds them is summed in rows without a peer.
pub const REPORT_ROWS: usize = 1024;
/// Bytes of all names in a learned profile together.
pub const PROFILE_NAME_BYTES: usize = 64 * 1024;
/// Bytes of an encoded profile.
pub const PROFILE_BYTES: usize = 256 * 1024;
/// Listening sockets in a learned profile.
pub const PROFILE_LISTENERS: usize = 256;
/// Seconds by which two neighbouring observations may advance the learning time: a clock set right is not experience.
pub const LEARN_STEP_S: i64 = 24 * 3600;
/// Bytes of what the detectors keep across restarts: profile, open findings, noticed networks.
pub const DETECTOR_KEPT_BYTES: usize = PROFILE_BYTES + 128 * 1024;
/// Networks contacted on one service from which on a further one is no news by itself.
pub const WIDE_SERVICE_NETWORKS: usize = 4;
/// Open findings of one detector on one device; further ones are counted in one common finding.
pub const OPEN_FINDINGS: usize = 48;
/// New findings of one detector on one device within a day; further ones are counted in one common finding.
pub const NEW_FINDINGS_A_DAY: usize = 8;
/// Seconds without a sighting after which an open finding that recurs is a new one.
pub const FINDING_FORGOTTEN_S: i64 = 7 * 24 * 3600;
/// Seconds between two reports of one finding whose count has risen.
pub const FINDING_REPEAT_S: i64 = 3600;
/// Destinations watched for a beacon at once.
pub const BEACON_TRACKS: usize = 128;
/// Starts within an hour from which on a destination is news also where many networks are usual.
pub const BUSY_STARTS: usize = 24;
/// Starts remembered of one watched destination.
pub const BEACON_STARTS: usize = 64;
/// Those who may be searching the network that are told apart, the device itself included.
pub const SCAN_WALKERS: usize = 64;
/// Contacts remembered of each of them.
pub const SCAN_CONTACTS: usize = 64;
/// Contacts that may still be answered.
pub const PENDING_CONTACTS: usize = 64;
/// Services at which logins are counted.
pub const LOGIN_TRACKS: usize = 64;
/// Registered names whose questions are counted.
pub const TUNNEL_TRACKS: usize = 64;
/// Different questions below one of them that are told apart.
pub const TUNNEL_NAMES: usize = 64;
/// Different clients of DHCP that are told apart: from so many within a minute on it is a flood.
pub const DHCP_CLIENTS: usize = 32;
/// Addresses that stations asked DHCP for, remembered at once.
pub const DHCP_ASKED: usize = 64;
/// Servers of DHCP that are usual where a device stands.
pub const DHCP_SERVERS: usize = 16;
/// Things at the machine itself whose marks are kept: accounts, programs, what is plugged in.
pub const SIGN_MARKS: usize = 512;
/// Openings of one switch of a cabinet that count in one look.
pub const SIGN_OPENINGS: u32 = 60;
/// Switches of a cabinet, and folders of data, that a configuration names.
pub const SIGN_PLACES: usize = 8;
/// Files of the folders of data that are looked at for mass rewriting.
pub const WATCHED_FILES: usize = 1024;
/// Bytes read from the spool for one batch; a single larger record makes a batch of its own.
pub const SPOOL_READ_BYTES: usize = 256 * 1024;

/// Bytes of a MUD file that is read entry by entry.
pub const MUD_BYTES: usize = 1024 * 1024;
/// Entries of all access lists of a MUD file together, and rules of the usage that is compiled from it.
pub const MUD_ENTRIES: usize = 1024;
/// Access lists of a MUD file.
pub const MUD_LISTS: usize = 64;
/// Networks that a site binds to one rule.
pub const MUD_BOUND: usize = 32;
/// Bytes of a compiled usage on a device.
pub const USAGE_BYTES: usize = 96 * 1024;
/// Bytes of a detached signature under a MUD file, its certificates included.
pub const MUD_SIGNATURE_BYTES: usize = 64 * 1024;
/// Observed flows that are made into a MUD file, or judged by one, in one run.
pub const MUD_FLOWS: usize = 1_000_000;
/// Entries of a MUD file that is generated, in each direction.
pub const MUD_GENERATED: usize = MUD_ENTRIES / 2;

/// Milliseconds of the first wait before a retry.
pub const RETRY_FIRST_MS: u64 = 1000;
/// Milliseconds of the longest wait that a device chooses by itself.
pub const RETRY_LONGEST_MS: u64 = 300_000;
/// Seconds of the longest wait that a server may ask for: silence must not be orderable.
pub const RETRY_AFTER_S: u64 = 3600;

/// Bytes read of any one file of the inventory; the package database has its own limit.
pub const INVENTORY_FILE_BYTES: u64 = 64 * 1024;
/// Bytes read of a package database.
pub const PACKAGE_DATABASE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of a line of it that are looked at: fields of interest are far shorter, descriptions do not matter.
pub const PACKAGE_LINE_BYTES: usize = 4096;
/// Tags of one header of RPM's database; a package has about a hundred.
pub const RPM_TAGS: usize = 65_536;
/// Bytes of one header that are read: what names a package stands in front of its files.
pub const RPM_HEADER_BYTES: usize = 2 * 1024 * 1024;
/// Pages of slots of RPM's own database, of 255 packages each.
pub const RPM_SLOT_PAGES: usize = 256;
/// Bytes of the pages of a database of packages that are read.
pub const DATABASE_BYTES: usize = 1024 * 1024 * 1024;
/// Folders of languages' packages that are looked at, in all.
pub const LANGUAGE_FOLDERS: usize = 8192;
/// Bytes of the front of such a package's own metadata.
pub const LANGUAGE_FILE_BYTES: u64 = 16 * 1024;
/// Packages in packages of Node's.
pub const LANGUAGE_DEPTH: usize = 8;
/// Files read of a folder of the inventory.
pub const INVENTORY_FOLDER_FILES: usize = 4096;
/// Network interfaces in one inventory.
pub const INTERFACES: usize = 64;
/// Devices that are plugged in, and sensors of heat, in one look.
pub const ATTACHED: usize = 256;
/// Hardware monitors that are asked.
pub const MONITORS: usize = 64;
/// Processes looked at to name the program behind a new listening socket.
pub const PROCESSES: usize = 4096;

/// Changes of one commit.
pub const COMMIT_CHANGES: usize = 500;
/// Bytes of one stored document; larger things are blobs.
pub const DOCUMENT_BYTES: usize = 6 * 1024 * 1024;
/// Bytes of all documents of one commit.
pub const COMMIT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of the key of one row of bulk data.
pub const BULK_KEY_BYTES: usize = 1024;
/// Bytes of bodies after which a page of the store ends, whatever its rows.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Characters of the summary of a state in an audit entry.
pub const SUMMARY_CHARS: usize = 1024;
/// Bytes of one audit entry.
pub const AUDIT_ENTRY_BYTES: usize = 32 * 1024;
/// Bytes of a signed head of the audit log.
pub const AUDIT_HEAD_BYTES: usize = 1024;
/// Bytes of one line of an audit export.
pub const AUDIT_LINE_BYTES: usize = 64 * 1024;
/// Bytes of one line of an evidence pack: the largest stored document, as a text within a line.
pub const EVIDENCE_LINE_BYTES: usize = 2 * DOCUMENT_BYTES + 64 * 1024;
/// Heads that were kept from before, in one evidence pack: it is asked for with them.
pub const EVIDENCE_HEADS: usize = 16;
/// Receipts in one evidence pack.
pub const EVIDENCE_RECEIPTS: usize = 20_000;
/// Entries of one page of an audit export.
pub const AUDIT_EXPORT_ROWS: u64 = 2048;
/// Bytes of one line for a SIEM. With its head it stays below the 8,192 that receivers of syslog over TLS should take (RFC
/// 5425 section 4.3.1); what is longer is cut and says so.
pub const SIEM_BODY_BYTES: usize = 7 * 1024;
/// Bytes of events that travel to a SIEM before its word is waited for; one transaction more may join them.
pub const SIEM_BATCH_BYTES: usize = 1024 * 1024;
/// Entries that one signed head seals at most; more are sealed by the next.
pub const AUDIT_BATCH: usize = 8192;
/// Days before an expiry at which people are warned, first to last.
pub const EXPIRY_WARNING_DAYS: [u32; 3] = [90, 30, 7];
/// Days a leaf certificate lives by default.
pub const LEAF_DAYS: u32 = 30;
/// Seconds a certificate is backdated, for clocks that run late.
pub const BACKDATE_S: i64 = 300;
/// Bytes of a hardware description on the wire: four texts of at most 256 characters.
pub const HARDWARE_BYTES: usize = 4 * (4 * TEXT_CHARS + 3) + 1;
/// Bits of an enrolment token.
pub const TOKEN_BITS: usize = 256;
/// Hours an enrolment token lives by default.
pub const TOKEN_HOURS: u32 = 24;
/// Hours an enrolment token may live at most.
pub const TOKEN_HOURS_MAX: u32 = 24 * 90;
/// Days after its end in which a certificate may still ask for the next one, by default and at most.
pub const GRACE_DAYS: u32 = 90;
/// Requests that wait for a person's approval at once; further ones are told to come again.
pub const APPROVAL_QUEUE: usize = 1000;
/// Days a request waits for approval before it is dropped.
pub const APPROVAL_DAYS: i64 = 14;
/// Root certificates in one signed bundle of authorities.
pub const AUTHORITIES: usize = 8;
/// Bytes of one signed bundle of authorities.
pub const AUTHORITIES_BYTES: usize = 16 * 1024;
/// Bundles followed one after the other in one check-in.
pub const AUTHORITIES_STEPS: u64 = 16;
/// Seconds between two check-ins of a metered device.
pub const METERED_CHECKIN_S: u32 = 6 * 3600;
/// Seconds between two check-ins that a metered device may be set to at most.
pub const METERED_CHECKIN_MAX_S: u32 = 7 * 24 * 3600;
/// Devices one model token may enrol.
pub const TOKEN_COUNT: u32 = 10_000;
/// Bytes of one content document.
pub const CONTENT_BYTES: usize = 16 * 1024;
/// Live contents in one document of the content role.
pub const CONTENTS: usize = 64;
/// Days the document of the content role may live; no content may be taken for longer.
pub const CONTENT_DAYS: i64 = 366;
/// Seconds a new content runs before it is in force: a crash or a memory breach in them restores the previous one.
pub const CONTENT_TRIAL_S: u32 = 600;
/// Seconds after which a content on trial is in force although nobody could look at the agent's memory.
pub const CONTENT_UNSEEN_S: u32 = 3600;
/// Seconds between two check-ins that a content may ask for, least and most.
pub const CONTENT_CHECKIN_S: [u32; 2] = [60, 3600];
/// Starts from which a content may let the beacon detector speak, least and most, as it is read.
pub const CONTENT_BEACON_STARTS: [u32; 2] = [10, 40];
/// Starts from which the beacon detector speaks at most, whatever a content says: of a beacon an hour it remembers a day.
/// What was signed before may say more; nothing above is signed any more.
pub const CONTENT_BEACON_STARTS_MOST: u32 = 20;
/// Score, in thousandths, from which a content may let the beacon detector report, least and most: never so high that
/// nothing could reach it.
pub const CONTENT_BEACON_SCORE: [u32; 2] = [700, 900];
/// Networks on one service from which a content may let a further one be no news, least and most.
pub const CONTENT_WIDE_NETWORKS: [u32; 2] = [2, 16];
/// KiB of resident memory that an agent on the trial of a content may always have: the bar of an agent at rest.
pub const CONTENT_RESIDENT_KIB: u64 = 7 * 1024;
/// KiB of resident memory by which an agent may grow over what it had before it took a content.
pub const CONTENT_GROWTH_KIB: u64 = 1024;
/// Characters of a version that is compared: the longest of a real package has about a hundred.
pub const VERSION_CHARS: usize = 256;
/// Bytes of one advisory as its publisher wrote it.
pub const ADVISORY_BYTES: usize = 4 * 1024 * 1024;
/// Packages that one advisory speaks of, once for each release.
pub const ADVISORY_AFFECTED: usize = 2_000;
/// Events of one range of an advisory, and ranges of one of its packages.
pub const ADVISORY_EVENTS: usize = 4_096;
/// Versions that an advisory lists one by one for a package.
pub const ADVISORY_VERSIONS: usize = 20_000;
/// Other names of one advisory.
pub const ALIASES: usize = 256;
/// Bytes of one file of a feed of advisories, and of a folder of them.
pub const FEED_BYTES: u64 = 256 * 1024 * 1024;
/// Feeds that are in force on one server.
pub const FEEDS: usize = 256;
/// Statements about a package in all feeds together, and files of a folder.
pub const FEED_ROWS: usize = 2_000_000;
/// Characters of a CVSS vector.
pub const CVSS_CHARS: usize = 256;
/// Characters of a package URL.
pub const PURL_CHARS: usize = 1024;
/// Versions and ranges that one product of an advisory is told by.
pub const STATED_VERSIONS: usize = 256;
/// Products of one CSAF document, and statements of one VEX document.
pub const VEX_STATEMENTS: usize = 50_000;
/// Products that one statement names, and remedies, scores and notes of one weakness in a CSAF document.
pub const CSAF_LIST: usize = 20_000;
/// Bytes of one name in the tree of a CSAF document: of a maker, a model, a version. Every product below repeats it.
pub const CSAF_NAME: usize = 512;
/// Products that all lists of a CSAF document name together, groups opened.
pub const CSAF_MEMBERS: usize = 1_000_000;
/// Names of one weakness in a VEX statement, each of at most [`VEX_NAME`] bytes; every product of a statement repeats them.
pub const VEX_NAMES: usize = 16;
/// Bytes of one name of a weakness.
pub const VEX_NAME: usize = 128;
/// Characters of a reason, a remedy or a product's name that are kept.
pub const VEX_TEXT: usize = 1_024;
/// Entries of CISA's catalogue of what is exploited: it has below 2,000.
pub const KEV_ROWS: usize = 100_000;
/// Rows of EPSS: it has about 300,000.
pub const EPSS_ROWS: usize = 2_000_000;
/// Releases of one product with their ends of life.
pub const EOL_ROWS: usize = 2_000;
/// Rows of a list of assets.
pub const ASSET_ROWS: usize = 200_000;
/// Bytes of a list of assets that is imported.
pub const ASSET_LIST_BYTES: usize = 32 * 1024 * 1024;
/// Days that an accepted risk lives at most.
pub const EXCEPTION_DAYS: i64 = 366;
/// Accepted risks that have not been taken back.
pub const EXCEPTIONS: usize = 1000;
/// Announced service visits that are not over.
pub const VISITS: usize = 1000;
/// Days that a service visit lasts at most.
pub const VISIT_DAYS: i64 = 14;
/// Days ahead of which a service visit can be announced.
pub const VISIT_AHEAD_DAYS: i64 = 90;
/// Lists of assets that are remembered.
pub const ASSET_LISTS: usize = 64;
/// Bytes of one cell of a list of assets that are kept.
pub const ASSET_CELL: usize = 256;
/// Days after which what a feed says is old news, and that itself a finding.
pub const FEED_STALE_DAYS: u32 = 7;
