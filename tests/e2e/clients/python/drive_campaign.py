"""Drives a campaign with the client that openapi-python-client generates from the OpenAPI document.

An administrator uploads a firmware, and creates, edits, starts and follows a campaign; an approver approves it. The
script prints the id of the campaign. The devices are those of the test.
"""

import os
import time
from io import BytesIO

from tidegate_client import AuthenticatedClient
from tidegate_client.api.campaigns import (
    approve_campaign,
    change_campaign,
    create_campaign,
    delete_campaign,
    get_campaign,
    list_campaign_updates,
    list_campaigns,
    list_journal,
    list_waves,
    start_campaign,
)
from tidegate_client.api.devices import change_device, explain_device, list_devices
from tidegate_client.api.firmware import download_firmware, upload_firmware
from tidegate_client.api.plugins import list_plugins
from tidegate_client.api.settings import change_settings, show_settings
from tidegate_client.api.stats import show_campaign_stats, show_stats
from tidegate_client.models import (
    ApprovalRequest,
    CampaignPatch,
    DeviceChange,
    DeviceChangeLabelsType0,
    FirmwareUpload,
    NewCampaign,
    NewFirmware,
    PluginSelection,
    Problem,
    StrategyChange,
    SuccessCriteria,
    TenantSettings,
)
from tidegate_client.types import File

CONTENT = b"brought by the tide\n"
DEADLINE = time.monotonic() + 60


def client(key: str) -> AuthenticatedClient:
    return AuthenticatedClient(
        base_url=os.environ["TIDEGATE_URL"],
        token=os.environ[key],
        prefix="",
        auth_header_name="X-API-Key",
        raise_on_unexpected_status=True,
    )


def expect(response, status: int):
    """The parsed body of a response with this status."""
    assert response.status_code == status, f"{response.status_code}: {response.content!r}"
    return response.parsed


def expect_problem(response, status: int, code: str) -> None:
    problem = expect(response, status)
    assert isinstance(problem, Problem), problem
    assert problem.code == code, problem


admin = client("TIDEGATE_ADMIN_KEY")
approver = client("TIDEGATE_APPROVER_KEY")

upload = FirmwareUpload(
    metadata=NewFirmware(name="edge", version="2.0.0"),
    file=[File(payload=BytesIO(CONTENT), file_name="edge.bin")],
)
firmware = expect(upload_firmware.sync_detailed(client=admin, body=upload), 201)
download = download_firmware.sync_detailed(firmware.firmware_id, client=admin)
assert download.content == CONTENT, download

new = NewCampaign(
    name="spring",
    firmware_id=firmware.firmware_id,
    target_filter="hw_model==edge",
    strategy=PluginSelection(plugin="immediate"),
    requires_approval=True,
    success_criteria=SuccessCriteria.ATTESTED,
)
other = expect(create_campaign.sync_detailed(client=admin, body=new), 201)
assert delete_campaign.sync_detailed(other.campaign_id, client=admin).status_code == 204
created = create_campaign.sync_detailed(client=admin, body=new, idempotency_key="one")
campaign = expect(created, 201)
again = create_campaign.sync_detailed(client=admin, body=new, idempotency_key="one")
assert expect(again, 201) == campaign, again
campaign_id = campaign.campaign_id

read = get_campaign.sync_detailed(campaign_id, client=admin)
assert expect(read, 200) == campaign, read
change = CampaignPatch(name="summer", max_retries=1, note=None, strategy=StrategyChange(config={}))
edit = change_campaign.sync_detailed
changed = expect(edit(campaign_id, client=admin, body=change, if_match=read.headers["etag"]), 200)
assert (changed.name, changed.max_retries, changed.edited_by) == ("summer", 1, "admin"), changed
lost = edit(campaign_id, client=admin, body=change, if_match=read.headers["etag"])
expect_problem(lost, 412, "precondition_failed")
invalid = edit(campaign_id, client=admin, body=CampaignPatch(firmware_id=987_654))
expect_problem(invalid, 422, "invalid_campaign")

start = start_campaign.sync_detailed
expect_problem(start(campaign_id, client=admin), 409, "not_approved")
approval = ApprovalRequest(approval_comment="tried on my desk")
expect(approve_campaign.sync_detailed(campaign_id, client=approver, body=approval), 200)
expect(start(campaign_id, client=admin), 200)
while (campaign := expect(get_campaign.sync_detailed(campaign_id, client=admin), 200)).status != "completed":
    assert time.monotonic() < DEADLINE, campaign
    time.sleep(0.05)
assert campaign.progress_percentage == 100, campaign
late = edit(campaign_id, client=admin, body=CampaignPatch(name="late"))
expect_problem(late, 409, "campaign_started")

listed = expect(list_campaigns.sync_detailed(client=admin, limit=1), 200)
assert [item.campaign_id for item in listed.items] == [campaign_id], listed
updates = expect(list_campaign_updates.sync_detailed(campaign_id, client=admin), 200)
assert {update.status for update in updates.items} == {"completed"}, updates
assert expect(list_waves.sync_detailed(campaign_id, client=admin), 200).total == 1
assert expect(list_journal.sync_detailed(campaign_id, client=admin), 200).items
statistics = expect(show_campaign_stats.sync_detailed(campaign_id, client=admin), 200)
assert statistics.success_rate == 100, statistics

devices = expect(list_devices.sync_detailed(client=admin, q="sw_version==2.0.0", sort="device_id:desc"), 200)
device_id = devices.items[0].device_id
labels = DeviceChangeLabelsType0.from_dict({"site": "lab", "floor": None})
device = expect(change_device.sync_detailed(device_id, client=admin, body=DeviceChange(labels=labels)), 200)
assert device.labels.to_dict() == {"site": "lab"}, device
explained = expect(explain_device.sync_detailed(device_id, client=admin), 200)
assert explained.total == 1 and explained.device.reasons is not None, explained

settings = expect(change_settings.sync_detailed(client=admin, body=TenantSettings(track_address=True)), 200)
assert settings.track_address is True and settings.defaults.polling.interval, settings
assert expect(show_settings.sync_detailed(client=admin), 200) == settings
assert expect(show_stats.sync_detailed(client=admin), 200).devices.total == len(devices.items)
assert expect(list_plugins.sync_detailed(client=admin), 200).items

print(campaign_id)
