-- Intermediate versions that devices install before the firmware of a campaign.

-- The firmware that devices of an included class get first, and why, with the policy's name.
ALTER TABLE campaign_classes ADD COLUMN intermediate_firmware_id BIGINT;
ALTER TABLE campaign_classes ADD COLUMN intermediate_reason {{text}};

-- All such firmware of a campaign, also what checks of changed devices added: it is not deleted before the campaign ends.
CREATE TABLE campaign_intermediate_firmware (
    tenant_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    firmware_id BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, campaign_id, firmware_id),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaigns (tenant_id, id),
    FOREIGN KEY (tenant_id, firmware_id) REFERENCES firmware (tenant_id, id)
);

CREATE INDEX campaign_intermediate_firmware_by_firmware ON campaign_intermediate_firmware (tenant_id, firmware_id);
