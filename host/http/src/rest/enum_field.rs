//! Enums of the core and the engine in requests and responses.

use std::{any::type_name, borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use strum::VariantNames;
use tidegate_core::{
    Named,
    access::Registration,
    campaign::{CampaignStatus, Priority},
    mode::DeviceMode,
    plugin::RollbackScope,
    settings::{DdiLinks, VersionScheme},
    update::{DeviceRefusal, OnDenied, SuccessCriteriaName, UpdateStatus, UpdateTypeName},
};
use tidegate_engine::Role;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A variant by its canonical name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EnumField<T>(pub(crate) T);

// utoipa's derive asks the arguments of a generic type for schemas, which enums of other crates do not have.
pub(crate) type CampaignStatusField = EnumField<CampaignStatus>;
pub(crate) type DdiLinksField = EnumField<DdiLinks>;
pub(crate) type DeviceModeField = EnumField<DeviceMode>;
pub(crate) type DeviceRefusalField = EnumField<DeviceRefusal>;
pub(crate) type OnDeniedField = EnumField<OnDenied>;
pub(crate) type PriorityField = EnumField<Priority>;
pub(crate) type RegistrationField = EnumField<Registration>;
pub(crate) type RoleField = EnumField<Role>;
pub(crate) type RollbackScopeField = EnumField<RollbackScope>;
pub(crate) type SuccessCriteriaField = EnumField<SuccessCriteriaName>;
pub(crate) type UpdateStatusField = EnumField<UpdateStatus>;
pub(crate) type UpdateTypeField = EnumField<UpdateTypeName>;
pub(crate) type VersionSchemeField = EnumField<VersionScheme>;

impl<'de, T: FromStr + VariantNames> Deserialize<'de> for EnumField<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);

        impl<T: FromStr + VariantNames> de::Visitor<'_> for Visitor<T> {
            type Value = EnumField<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "one of {}", T::VARIANTS.join(", "))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EnumField<T>, E> {
                let variant = text.parse().map(EnumField);
                variant.map_err(|_| E::unknown_variant(text, T::VARIANTS))
            }
        }

        deserializer.deserialize_str(Visitor(std::marker::PhantomData))
    }
}

impl<T: Named> Serialize for EnumField<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<T: VariantNames> PartialSchema for EnumField<T> {
    fn schema() -> RefOr<Schema> {
        let names = T::VARIANTS.iter().copied();
        let schema = ObjectBuilder::new().schema_type(Type::String);
        schema.enum_values(Some(names)).into()
    }
}

/// The schema has the name of the enum.
impl<T: VariantNames> ToSchema for EnumField<T> {
    fn name() -> Cow<'static, str> {
        let path = type_name::<T>();
        let name = path.rsplit("::").next().unwrap_or(path);
        Cow::Borrowed(name.strip_suffix("Name").unwrap_or(name))
    }
}
