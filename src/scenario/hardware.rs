//! The models and system versions mdmstorm knows by name.

use crate::device::traits::Platform;

/// A model of device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    pub(super) product: &'static str,
    pub(super) name: &'static str,
    pub(super) platform: Platform,
}

const fn model(product: &'static str, name: &'static str, platform: Platform) -> Model {
    Model {
        product,
        name,
        platform,
    }
}

/// Hardware identifiers with Apple's marketing names.
const MODELS: [Model; 16] = [
    model("iPad12,1", "iPad (9th generation)", Platform::Ipad),
    model("iPad13,16", "iPad Air (5th generation)", Platform::Ipad),
    model("iPad13,18", "iPad (10th generation)", Platform::Ipad),
    model("iPad14,1", "iPad mini (6th generation)", Platform::Ipad),
    model("iPhone14,6", "iPhone SE (3rd generation)", Platform::Iphone),
    model("iPhone14,5", "iPhone 13", Platform::Iphone),
    model("iPhone15,4", "iPhone 15", Platform::Iphone),
    model("iPhone17,3", "iPhone 16", Platform::Iphone),
    model("MacBookAir10,1", "MacBook Air (M1, 2020)", Platform::Mac),
    model("Mac14,2", "MacBook Air (M2, 2022)", Platform::Mac),
    model("Mac14,3", "Mac mini (2023)", Platform::Mac),
    model("Mac15,12", "MacBook Air (13-inch, M3, 2024)", Platform::Mac),
    model("Mac15,13", "MacBook Air (15-inch, M3, 2024)", Platform::Mac),
    model("AppleTV5,3", "Apple TV HD", Platform::AppleTv),
    model(
        "AppleTV11,1",
        "Apple TV 4K (2nd generation)",
        Platform::AppleTv,
    ),
    model(
        "AppleTV14,1",
        "Apple TV 4K (3rd generation)",
        Platform::AppleTv,
    ),
];

/// The hardware identifiers, as a scenario names them.
pub(super) const PRODUCTS: &[&str] = &{
    let mut products = [""; MODELS.len()];
    let mut at = 0;
    while at < MODELS.len() {
        products[at] = MODELS[at].product;
        at += 1;
    }
    products
};

/// System versions and their builds: (iPadOS and iOS, macOS, tvOS) share few numbers.
const BUILDS: [(Platform, &str, &str); 16] = [
    (Platform::Ipad, "15.7", "19H12"),
    (Platform::Ipad, "16.7", "20H19"),
    (Platform::Ipad, "17.7", "21H16"),
    (Platform::Ipad, "18.0", "22A3354"),
    (Platform::Ipad, "18.1", "22B83"),
    (Platform::Iphone, "16.7", "20H19"),
    (Platform::Iphone, "17.7", "21H16"),
    (Platform::Iphone, "18.0", "22A3354"),
    (Platform::Iphone, "18.1", "22B83"),
    (Platform::Mac, "13.7", "22H123"),
    (Platform::Mac, "14.7", "23H124"),
    (Platform::Mac, "15.0", "24A335"),
    (Platform::Mac, "15.1", "24B83"),
    (Platform::AppleTv, "17.6", "21M71"),
    (Platform::AppleTv, "18.0", "22J357"),
    (Platform::AppleTv, "18.1", "22J580"),
];

/// The model behind a hardware identifier.
pub(super) fn find(product: &str) -> Option<Model> {
    MODELS.into_iter().find(|model| model.product == product)
}

/// The build of a system version; `None` when mdmstorm does not know it.
pub(super) fn build(platform: Platform, version: &str) -> Option<&'static str> {
    BUILDS
        .into_iter()
        .find(|(on, known, _)| *on == platform && *known == version)
        .map(|(_, _, build)| build)
}

/// The versions whose build is known.
pub(super) fn versions(platform: Platform) -> impl Iterator<Item = &'static str> {
    BUILDS
        .into_iter()
        .filter(move |(on, ..)| *on == platform)
        .map(|(_, version, _)| version)
}

/// The version a cohort runs that names none: that of the MDM schema mdmstorm follows, 18.1.
pub(super) const fn usual_version(platform: Platform) -> &'static str {
    match platform {
        Platform::Ipad | Platform::Iphone | Platform::AppleTv => "18.1",
        Platform::Mac => "15.1",
    }
}

/// The name of the operating system.
pub(super) const fn system(platform: Platform) -> &'static str {
    match platform {
        Platform::Ipad => "iPadOS",
        Platform::Iphone => "iOS",
        Platform::Mac => "macOS",
        Platform::AppleTv => "tvOS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_has_a_usual_version_with_a_build() {
        let platforms = [
            Platform::Ipad,
            Platform::Iphone,
            Platform::Mac,
            Platform::AppleTv,
        ];
        for platform in platforms {
            assert!(build(platform, usual_version(platform)).is_some());
        }
    }
}
