//! The strategy `site-canaries`: a few devices of every site first, then all others.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_plugin_sdk::{UNASSIGNED, prelude::*};

/// The strategy.
#[derive(Debug)]
pub struct SiteCanaries;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The attribute by which devices report their site.
    attribute: String,
    canaries_per_site: usize,
    soak_minutes: Minutes,
    success_percentage: Percent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attribute: "site".to_owned(),
            canaries_per_site: 1,
            soak_minutes: Minutes::new(60),
            success_percentage: Percent::new(90),
        }
    }
}

impl Plugin for SiteCanaries {
    const NAME: &'static str = "trial/site-canaries";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Updates a few devices of every site before all others.";
    const SCHEMA: &'static str = include_str!("../schema/site-canaries.json");
    type Config = Config;

    fn wants(config: &Config) -> Interests {
        Interests::none().with_attributes([&config.attribute])
    }
}

impl Strategy for SiteCanaries {
    fn plan(_input: &PlanInput, _config: &Config) -> Result<WavePlan, String> {
        Ok(WavePlan::in_order(vec![
            Wave::new("canaries", Members::Custom),
            Wave::new("others", Members::Rest),
        ]))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        let criteria = PromotionCriteria {
            success: config.success_percentage,
            soak_time: config.soak_minutes.milliseconds(),
            requires_approval: false,
        };
        in_order(observation, None, |transition| criteria.gate(&transition))
    }
}

impl Assignment for SiteCanaries {
    /// Devices without a site are a site of their own. A page knows nothing of the others: with more than one, each has
    /// its own canaries.
    fn assign(input: &AssignInput, config: &Config) -> Result<Vec<u32>, String> {
        let site_of_class: Vec<Option<&str>> = input
            .classes
            .iter()
            .map(|class| site(class, &config.attribute))
            .collect();
        let mut rows_by_site: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (row, class) in input.class.iter().enumerate() {
            let site = site_of_class[*class as usize];
            rows_by_site.entry(site).or_default().push(row);
        }
        let mut waves = vec![UNASSIGNED; input.class.len()];
        for rows in rows_by_site.values_mut() {
            rows.sort_by_key(|&row| input.place[row]);
            for &row in rows.iter().take(config.canaries_per_site) {
                waves[row] = 0;
            }
        }
        Ok(waves)
    }
}

fn site<'a>(class: &'a DeviceClass, attribute: &str) -> Option<&'a str> {
    let mut attributes = class.attributes.iter();
    let site = attributes.find(|candidate| candidate.key == attribute);
    site.map(|site| site.value.as_str())
}
