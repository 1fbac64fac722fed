//! Volunteers: people and their computers. When they are awake, when they go on holiday, when they leave for ever; what they lose and how
//! they lie.
//!
//! A computer has a chance to be on for each hour of its owner's week: high in the evening for one who plays, from nine to six for one in an
//! office, always for one that serves. Once in about three hours it is decided anew, by the chance of that hour, whether it is on; so that it is
//! on for some hours on end, and as often as the chances say. Chances are made from a sum of log-odds: the person, the hour, the weekend. One
//! number is added to everybody's, so that the mean over all is what the plan says ([`Crowd::new`]).

use types::{AccountId, GIB};

use crate::chance::Chance;
use crate::net::Link;

/// Hours of a week.
pub const HOURS: usize = 168;
/// The chance, in an hour, that it is decided anew whether a computer is on.
pub const RESTLESS: f64 = 0.35;
/// Days between two holidays, on average.
const HOLIDAY_EVERY: f64 = 300.0;
/// Days of a holiday: from, and how many more at most. The longer ones outlast the time after which a node counts as lost.
const HOLIDAY: (f64, f64) = (2.0, 12.0);
/// Volunteers who are looked at to find the number that makes the mean right.
const SURVEY: usize = 2000;
/// Owners with a second computer, as one in so many.
const SECOND: usize = 12;

/// Regions: how many of a hundred live there, the name, and hours ahead of UTC.
const REGIONS: [(f64, (&str, i32)); 9] = [
    (24.0, ("eu-west", 1)),
    (14.0, ("eu-east", 2)),
    (16.0, ("us-east", -5)),
    (8.0, ("us-central", -6)),
    (12.0, ("us-west", -8)),
    (8.0, ("south-america", -3)),
    (6.0, ("india", 5)),
    (8.0, ("japan", 9)),
    (4.0, ("australia", 10)),
];

/// The region that most volunteers live in.
pub const BIGGEST_REGION: &str = REGIONS[0].1.0;

/// What a computer is for: log-odds that are added for the person, the swing of the day, its peak (local hour), and the weekend.
const USES: [(f64, [f64; 4]); 4] = [
    // A small server, which is hardly ever off.
    (25.0, [3.0, 0.1, 20.0, 0.0]),
    // On from the afternoon on, and all day at weekends.
    (40.0, [0.0, 1.6, 19.0, 0.6]),
    // In an office.
    (20.0, [-0.6, 2.2, 13.5, -1.8]),
    // No rhythm that anybody could tell.
    (15.0, [0.3, 0.3, 12.0, 0.2]),
];

/// How honest a computer is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Nature {
    /// It keeps what it acknowledges, or says that it does not.
    Honest,
    /// It throws away this share of what it acknowledges, and says nothing.
    Liar(f64),
}

/// A volunteer's computer.
#[derive(Clone, Debug)]
pub struct Volunteer {
    /// The chance to be on, by hour of the week in UTC.
    pub chances: Box<[f64; HOURS]>,
    /// Whose it is.
    pub owner: AccountId,
    /// Which household, by number: a subnet.
    pub household: u32,
    /// Where.
    pub region: &'static str,
    /// Whether it is honest.
    pub nature: Nature,
    /// Its line.
    pub link: Link,
    /// Bytes it offers.
    pub capacity: u64,
    /// Days until it leaves for ever.
    pub stays: f64,
    /// Whether its owner will say so.
    pub polite: bool,
}

/// Where volunteers come from.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// What is added to everybody's log-odds.
    shift: f64,
    leave_per_week: f64,
    polite: f64,
    liars: f64,
    /// Households so far.
    households: u32,
}

/// What makes a rhythm: the use, the person's own log-odds, and hours ahead of UTC.
struct Rhythm {
    of: [f64; 4],
    person: f64,
    ahead: i32,
    region: &'static str,
}

impl Rhythm {
    fn draw(chance: &mut Chance) -> Self {
        let (region, ahead) = chance.pick(&REGIONS).copied().unwrap_or(REGIONS[0].1);
        let mut of = chance.pick(&USES).copied().unwrap_or(USES[0].1);
        of[2] += chance.normal() * 1.5;
        Self { of, person: chance.normal() * 0.8, ahead, region }
    }

    /// The chance in an hour of the week in UTC.
    fn at(&self, hour: usize, shift: f64) -> f64 {
        let local = (hour as i32 + self.ahead).rem_euclid(HOURS as i32);
        let [base, swing, peak, weekend] = self.of;
        let of_day = (f64::from(local % 24) - peak) / 24.0 * std::f64::consts::TAU;
        let weekend = if local / 24 >= 5 { weekend } else { 0.0 };
        let odds = base + self.person + swing * of_day.cos() + weekend + shift;
        1.0 / (1.0 + (-odds).exp())
    }

    fn mean(&self, shift: f64) -> f64 {
        (0..HOURS).map(|hour| self.at(hour, shift)).sum::<f64>() / HOURS as f64
    }
}

impl Crowd {
    /// A crowd that is on for this share of the time, holidays included.
    pub fn new(
        availability: f64,
        leave_per_week: f64,
        polite: f64,
        liars: f64,
        chance: &mut Chance,
    ) -> Self {
        let survey: Vec<Rhythm> = (0..SURVEY).map(|_| Rhythm::draw(chance)).collect();
        let away = HOLIDAY.0 + HOLIDAY.1 / 2.0;
        let at_home = (availability * (HOLIDAY_EVERY + away) / HOLIDAY_EVERY).min(0.995);
        let (mut low, mut high) = (-12.0, 12.0);
        for _ in 0..40 {
            let shift = f64::midpoint(low, high);
            let mean = survey.iter().map(|rhythm| rhythm.mean(shift)).sum::<f64>() / SURVEY as f64;
            if mean < at_home { low = shift } else { high = shift }
        }
        Self { shift: low, leave_per_week, polite, liars, households: 0 }
    }

    /// The next one.
    ///
    /// # Panics
    /// Never: the owners' names are good account ids.
    pub fn draw(&mut self, chance: &mut Chance) -> Volunteer {
        let rhythm = Rhythm::draw(chance);
        if self.households == 0 || chance.below(SECOND) != 0 {
            self.households += 1;
        }
        let household = self.households;
        let name = format!("owner-{household}");
        let nature = if chance.happens(self.liars) {
            // From one who saves a little to one who keeps nothing.
            Nature::Liar([0.02, 0.2, 1.0][chance.below(3)])
        } else {
            Nature::Honest
        };
        let size = 200.0 * (chance.normal() * 0.7).exp();
        Volunteer {
            chances: Box::new(std::array::from_fn(|hour| rhythm.at(hour, self.shift))),
            owner: name.parse().expect("letters, a dash and digits are an account id"),
            household,
            region: rhythm.region,
            nature,
            link: Link::draw(chance),
            capacity: (size.clamp(50.0, 2000.0) as u64) * GIB,
            stays: if self.leave_per_week > 0.0 {
                chance.wait(7.0 / self.leave_per_week)
            } else {
                f64::MAX
            },
            polite: chance.happens(self.polite),
        }
    }
}

/// Whether a holiday begins in this hour, and for how many hours.
pub fn holiday(chance: &mut Chance) -> Option<f64> {
    let begins = chance.happens(1.0 / (HOLIDAY_EVERY * 24.0));
    begins.then(|| (HOLIDAY.0 + chance.unit() * HOLIDAY.1) * 24.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_awake_as_often_as_it_should_and_not_all_at_once() {
        for wanted in [0.5, 0.75, 0.9] {
            let mut chance = Chance::new(3);
            let mut crowd = Crowd::new(wanted, 0.02, 0.0, 0.0, &mut chance);
            let people: Vec<Volunteer> = (0..2000).map(|_| crowd.draw(&mut chance)).collect();
            let at = |hour: usize| {
                people.iter().map(|one| one.chances[hour]).sum::<f64>() / people.len() as f64
            };
            let hours: Vec<f64> = (0..HOURS).map(at).collect();
            let mean = hours.iter().sum::<f64>() / HOURS as f64;
            // Holidays of 8 days come after 300 at home.
            let with_holidays = mean * 300.0 / 308.0;
            assert!(
                (with_holidays - wanted).abs() < 0.02,
                "{with_holidays} where {wanted} is wanted"
            );
            let least = hours.iter().copied().fold(1.0, f64::min);
            assert!(least < mean - 0.01, "people sleep: {least} of {mean}");
            let servers = people.iter().filter(|one| one.chances.iter().all(|p| *p > 0.8)).count();
            assert!(servers > 100, "{servers} are always on");
        }
    }

    #[test]
    fn one_in_fifty_leaves_in_a_week() {
        let mut chance = Chance::new(4);
        let mut crowd = Crowd::new(0.75, 0.02, 0.0, 0.0, &mut chance);
        let gone = (0..20_000).filter(|_| crowd.draw(&mut chance).stays < 7.0).count();
        assert!((340..460).contains(&gone), "{gone} of 20000, where 396 are expected");
    }
}
