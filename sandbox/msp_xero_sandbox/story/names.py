"""Words the story is made of: companies, people, places and what technicians write."""

from __future__ import annotations

MSP_NAME = "Kōwhai Managed IT Limited"

# One row a company: name in Xero, name in ServiceDesk Plus ("" = not there), city, domain.
# The first block matches exactly, the second nearly, the rest on one side only.
EXACT = (
    ("Ridgeway University", "Wellington", "ridgeway.example"),
    ("Bayside Club", "Tauranga", "bayside.example"),
    ("Ngā Puna Health Trust", "Rotorua", "ngapuna.example"),
    ("Harakeke Law Limited", "Auckland", "harakekelaw.example"),
    ("City Limousines", "Christchurch", "citylimo.example"),
    ("Moana Fisheries", "Nelson", "moanafish.example"),
    ("Port & Philip Freight", "Lyttelton", "portphilip.example"),
    ("Kererū Early Learning", "Hamilton", "kereru.example"),
    ("Southern Alps Brewing Co.", "Queenstown", "alpsbrew.example"),
    ("DIISR - Small Business Services", "Wellington", "diisr.example"),
    ("Hamilton Smith Ltd", "Hamilton", "hamsmith.example"),
    ("Tāmaki Timber Merchants", "Auckland", "tamakitimber.example"),
    ("Marlborough Cellars", "Blenheim", "cellars.example"),
    ("Petrie McLoud Watson & Associates", "Dunedin", "pmw.example"),
    ("Rex Media Group", "Auckland", "rexmedia.example"),
    ("Young Bros Transport", "Palmerston North", "youngbros.example"),
    ("Whānau First Housing", "Porirua", "whanaufirst.example"),
    ("Basket Case", "Napier", "basketcase.example"),
    ("Boom FM", "Auckland", "boomfm.example"),
    ("Cube Land", "Whangārei", "cubeland.example"),
    ("Coromandel Credit Union", "Thames", "ccu.example"),
    ("Otago Veterinary Partners", "Dunedin", "otagovet.example"),
    ("Pōhutukawa Dental", "Tauranga", "pohutukawa.example"),
    ("Bank West Surveyors", "Greymouth", "bankwest.example"),
    ("Hauraki Aquaculture", "Coromandel", "hauraki.example"),
    ("Maddox Publishing Group", "Wellington", "maddox.example"),
    ("Taranaki Dairy Engineering", "New Plymouth", "tdeng.example"),
    ("Wairarapa Wool Scourers", "Masterton", "wwool.example"),
)
NEAR = (
    ("Orlena Greenville Limited", "Orlena Greenville Ltd", "Auckland", "orlena.example"),
    ("Marine Systems", "MARINE SYSTEMS", "Whangārei", "marine.example"),
    ("O'Connor Plumbing", "O\u2019Connor  Plumbing", "Napier", "oconnor.example"),
    ("K & R Electrical", "K and R Electrical", "Timaru", "krelec.example"),
    ("Jakaranda Maple Systems", "Jakaranda Maple Systems.", "Gisborne", "jakaranda.example"),
    ("Te Awa Kayaks", "Te-Awa Kayaks ", "Whanganui", "teawa.example"),
)
ACCOUNT_ONLY = (
    ("Blackwood Forestry", "Rotorua", "blackwood.example"),
    ("Aurora Aged Care", "Invercargill", "aurora.example"),
    ("Sandstone Architects", "Ōamaru", "sandstone.example"),
)
CONTACT_ONLY = (
    ("Fox Street Fitness", "Auckland", "foxstreet.example"),
    ("Riverbank Nurseries", "Cambridge", "riverbank.example"),
    ("Tasman Optical", "Nelson", "tasmanoptical.example"),
    ("Zenith Imports", "Auckland", "zenith.example"),
)
SUPPLIERS = (
    ("PowerDirect", "Auckland", "powerdirect.example"),
    ("Net Connect Wholesale", "Auckland", "netconnect.example"),
    ("Capital Cab Co", "Wellington", "capitalcab.example"),
    ("24 Locks", "Christchurch", "24locks.example"),
)

FIRST_NAMES = (
    "Aroha", "Hēmi", "Mere", "Wiremu", "Ngaire", "Tāne", "Moana", "Rangi", "Howard", "Sophie", "Liam",
    "Priya", "Jack", "Emily", "Matiu", "Siobhán", "Chen", "Fatima", "Oliver", "Hana", "Kiri", "Tom",
    "Grace", "Daniel",
)  # fmt: skip
LAST_NAMES = (
    "Parata", "Ngata", "Walker", "Stern", "Tūhoe", "Singh", "O'Brien", "Li", "Fraser", "Te Kanawa",
    "McKenzie", "Patel", "Williams", "Pōtae", "Andersen", "Nguyen", "Harris", "Brown", "Tamihana",
    "Clark",
)  # fmt: skip
TECHNICIANS = (
    ("Howard Stern", "80.00"),
    ("Aroha Parata", "72.50"),
    ("Wiremu Ngata", "68.00"),
    ("Priya Patel", "75.25"),
    ("Tāne McKenzie", "64.00"),
    ("Sophie Li", "91.50"),
    ("Liam O'Brien", "59.95"),
    ("Mere Te Kanawa", "83.33"),
    ("Daniel Andersen", "70.00"),
    ("Fatima Singh", "66.67"),
    ("Matiu Tamihana", "55.00"),
    ("Grace Walker", "0.00"),
)
STREETS = (
    "Lambton Quay",
    "Queen Street",
    "Tuam Street",
    "Devon Street",
    "Cuba Street",
    "Victoria Avenue",
    "Marine Parade",
)
INDUSTRIES = (
    "Education",
    "Health",
    "Legal",
    "Transport",
    "Retail",
    "Construction",
    "Hospitality",
    "Agriculture",
    None,
)

REQUEST_SUBJECTS = (
    "Printer on level 2 offline", "Cannot sign in to e-mail", "New starter: laptop and accounts",
    "VPN drops every hour", "Shared drive is read-only", "Slow wifi in the meeting room",
    "Teams calls have no sound", "Restore a deleted folder", "Phishing mail reported", "Password reset",
    "Point-of-sale terminal freezes", "Scanner will not send to e-mail", "Leaver: close accounts",
    "Add a phone extension", "Monitor flickers", "Backup job failed overnight",
    "Licence renewal for CAD", "MFA prompt keeps coming back", "Website certificate expired",
    "Install accounting package", "Server room temperature alarm", "Move two desks",
    "Tablet for the warehouse", "Kaimahi iPad won\u2019t update",
)  # fmt: skip
PROBLEM_TITLES = (
    "Recurring VPN drops",
    "Mail queue grows every Monday",
    "Storage controller resets",
    "Wifi roaming between floors",
)
CHANGE_TITLES = (
    "Replace the core switch",
    "Move mail to the cloud",
    "Firewall firmware 7.4",
    "Enable MFA for everyone",
)
PROJECT_TITLES = (
    "Office move",
    "Windows 11 rollout",
    "Telephony replacement",
    "Disaster recovery site",
    "Intranet for staff",
)
MILESTONE_TITLES = ("Plan", "Pilot", "Rollout")
TASK_TITLES = (
    "Survey the site",
    "Order hardware",
    "Configure and test",
    "Cut over",
    "Document and hand over",
    "Train the users",
)
GENERAL_TASK_TITLES = ("Quarterly review meeting", "Stocktake of spare parts", "Update the asset register")
NOTES = (
    "Restarted the print spooler and cleared the queue.",
    "<div>Checked the logs, updated the driver and tested with the user.</div>",
    "<p>Phoned the user. Issue reproduced.</p><p>Rolled back the update.</p>",
    "Configured the device, added it to monitoring.",
    "<div>Travelled to site, replaced the cable &amp; labelled the port.</div>",
    "Reviewed alerts with the client; no further action.",
    "<ul><li>Patched server</li><li>Rebooted</li><li>Verified services</li></ul>",
    "Kōrero with the office manager about next steps.",
    "Reset credentials and enrolled the phone.",
    "<div>Escalated to the vendor, case <b>#48213</b>.</div>",
)
COMPANY_FIRST = (
    "Kauri", "Tūī", "Harbour", "Southern", "Rimu", "Pacific", "Summit", "Mānuka", "Coastal", "Aotea",
    "Granite", "Weka", "Lakeside", "Northern", "Fern", "Tōtara", "Cook", "Kea", "Volcanic", "Riverside",
    "Nīkau", "Alpine", "Kōura", "Highland", "Ocean",
)  # fmt: skip
COMPANY_SECOND = (
    "Legal", "Dental", "Builders", "Logistics", "Foods", "Motors", "Engineering", "Clinic", "Orchards",
    "Print", "Property", "Software", "Plumbing", "Electrical", "Travel", "Textiles", "Pharmacy",
    "Roofing", "Media", "Wines", "Security", "Furniture",
)  # fmt: skip
