//! The sample's overview: the reference picture, and a calm day.

use cordon_server::ui::chart::{Event, NoChart, Point, Trend};
use cordon_server::ui::overview::{
    BandCount, Detector, Figure, Going, Need, Overview, Range, Visit, Ward, When,
};
use cordon_server_core::risk::{Band, Owner, Value};

use crate::sample::{NOW, Sample, ago};

impl Sample {
    fn need(self, band: Band, text: (&str, &str), whose: (Owner, When), act: (&str, &str)) -> Need {
        Need {
            band,
            what: self.said(text.0),
            more: self.said(text.1),
            owner: whose.0,
            when: whose.1,
            act: (act.0.into(), act.1.into()),
        }
    }

    fn needs(self) -> Vec<Need> {
        vec![
            self.need(
                Band::Critical,
                (
                    "Rollout VP-3 4.2.1 stopped itself in wave 2.",
                    "6 of 127 finished pumps failed, the limit is 2 %",
                ),
                (Owner::It, When::Since(ago(24 * 60))),
                ("Review rollout", "/rollouts/vp3-421"),
            ),
            self.need(
                Band::Critical,
                (
                    "Kiosk K1-0231 calls one outside address every 60 seconds",
                    "since 05:58 and is not in any profile",
                ),
                (Owner::Security, When::Since(ago(8 * 3600))),
                ("Open finding", "/findings/f-20894"),
            ),
            self.need(
                Band::High,
                (
                    "41 infusion pumps run a component under attack elsewhere",
                    "(CVE-2020-1938). 4.2.2 removes it",
                ),
                (Owner::It, When::Due(NOW.plus_seconds(2 * 86_400))),
                ("Plan rollout", "/rollouts"),
            ),
            self.need(
                Band::Medium,
                (
                    "9 patient monitors have not reported for 7 days",
                    "in Northfield, ward N2. Their switch went silent first",
                ),
                (Owner::Network, When::Since(ago(8 * 3600))),
                ("See devices", "/devices?state=silent&ward=N2"),
            ),
        ]
    }

    pub(crate) fn overview(self) -> Overview {
        let band = |count, change| BandCount { count, change: Some(change) };
        Overview {
            needs: self.needs(),
            going: vec![Going {
                id: self.text("pm80-942"),
                title: self.said("PM-80 9.4.2 to 402 patient monitors"),
                words: self.said("wave 1 runs, 133 of 402 confirmed"),
                since: ago(7200),
            }],
            visit: Some(Visit { at: ago(21 * 3600 + 46 * 60), new: 3, closed: 5 }),
            last_change: Some(ago(720)),
            reported: 4774,
            figures: figures(),
            range: Range::Month,
            trend: Ok(self.trend()),
            bands: [band(63, 3), band(214, 22), band(1102, -8), band(3433, -5)],
            index: Some((17, Value { hundredths: 7973, band: Band::Critical })),
            detectors: self.detectors(),
            strip_days: 30,
            wards: self.wards(),
            wards_total: 31,
        }
    }

    fn trend(self) -> Trend {
        let points = (0..31).map(|day: i64| {
            let (critical, high) = match day {
                0..=15 => (40 + u32::try_from(day % 3).unwrap(), 184 - u32::try_from(day % 5).unwrap()),
                16 => (80, 217),
                later => {
                    (80 - u32::try_from(later - 16).unwrap(), 217 - 3 * u32::try_from(later - 16).unwrap())
                }
            };
            Point { at: ago((30 - day) * 86_400), critical, high }
        });
        let event = |days: i64, label, href: &str| Event {
            at: ago(days * 86_400),
            label: self.said(label),
            href: href.into(),
        };
        Trend {
            points: points.collect(),
            events: vec![
                event(27, "PM-80 9.4.1 finished", "/rollouts/pm80-941"),
                event(14, "Advisory ICSMA-26-311", "/findings"),
                event(0, "VP-3 4.2.1 halted", "/rollouts/vp3-421"),
            ],
        }
    }

    fn detectors(self) -> Vec<Detector> {
        let names = [
            ("allow-list", "Allow-list", 6),
            ("mud", "Manufacturer profile", 5),
            ("beacon", "Beacon", 3),
            ("listener", "New listener", 3),
            ("host", "Updates and feeds", 3),
            ("volume", "Volume", 2),
            ("scan", "Scan", 2),
            ("brute-force", "Password guessing", 1),
            ("peer-identity", "Peer identity", 1),
            ("dns-tunnel", "Name tunnel", 1),
        ];
        let days = |seed: u32| {
            (0..30_u32).map(|day| (day * 7 + seed * 13) * (day + seed) % 11 % 6 * (day % 3 / 2)).collect()
        };
        let made = (1..).zip(names).map(|(seed, (slug, name, open))| Detector {
            slug: self.text(slug),
            name: self.said(name),
            days: days(seed),
            open,
        });
        made.collect()
    }

    fn wards(self) -> Vec<Ward> {
        let wards = [
            ("Intensive care 2", [19, 34, 66, 93]),
            ("4B Cardiology", [12, 20, 45, 71]),
            ("Emergency", [10, 33, 63, 158]),
            ("Radiology", [7, 18, 33, 38]),
            ("Theatres 1 to 6", [4, 12, 74, 248]),
            ("Northfield N2", [3, 8, 45, 131]),
            ("Neonatal", [0, 4, 21, 96]),
            ("Main entrance, kiosks", [0, 12, 11, 8]),
        ];
        wards
            .map(|(name, counts)| Ward { site: self.said("St. Brigid"), name: self.said(name), counts })
            .into()
    }

    pub(crate) fn calm(self) -> Overview {
        let figures = vec![
            Figure::new("Devices", 50, "on 2 sites", "/devices"),
            Figure::new("At critical risk", 0, "none", "/devices?band=critical"),
            Figure::new("Open findings", 0, "none unassigned", "/findings?state=open"),
        ];
        Overview {
            needs: Vec::new(),
            going: Vec::new(),
            visit: None,
            figures,
            trend: Err(NoChart("No history yet: counting began today 14:20.".into())),
            bands: [0, 0, 3, 47].map(|count| BandCount { count, change: None }),
            reported: 49,
            index: None,
            detectors: Vec::new(),
            wards: Vec::new(),
            wards_total: 0,
            ..self.overview()
        }
    }
}

fn figures() -> Vec<Figure> {
    let figure = |label: &str, value, spark: &[u32], compare: &str, href: &str| Figure {
        spark: spark.into(),
        ..Figure::new(label, value, compare, href)
    };
    let rise = [3, 2, 3, 4, 4, 5, 5, 6, 7, 7, 8, 9, 9];
    let fall = [9, 8, 8, 7, 8, 6, 5, 5, 4, 4, 3, 3, 4];
    vec![
        figure("Devices", 4812, &rise, "12 new this week", "/devices"),
        figure("At critical risk", 63, &rise, "3 more than last week", "/devices?band=critical"),
        figure("Open findings", 27, &rise, "9 unassigned", "/findings?state=open"),
        figure("Not seen for 24 h", 38, &fall, "5 fewer than yesterday", "/devices?state=silent"),
        Figure {
            value: "81\u{202f}%".into(),
            ..figure("On the newest release", 81, &rise, "912 devices behind", "/devices?sort=due")
        },
        figure("Quarantined", 4, &rise, "oldest 3 days", "/devices?state=quarantined"),
    ]
}
