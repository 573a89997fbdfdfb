"""What a deployed model is asked for its health: prompts to answer, and passages to find likely or not.

Both are part of the measurement: whoever changes a word raises VERSION, and numbers of two versions are not compared.
"""

from __future__ import annotations

from assay.files import digest_of

VERSION = "health-text-1"

PROMPTS = (
    "What is the capital of France?",
    "Write two sentences about the sea.",
    "Explain in simple words why the sky is blue.",
    "List three things that people eat for breakfast.",
    "How do I make a cup of tea?",
    "Tell me a short story about a dog and a boy.",
    "Why is it good to sleep enough?",
    "Describe what a bicycle is.",
)
"""Plain questions; any model that can hold a conversation answers them in whole sentences."""

PASSAGES = (
    (
        "The old lighthouse stood at the end of the pier.",
        " Every evening the keeper climbed the narrow stairs, lit the lamp, and looked out over the water. In winter "
        "the waves were so high that they washed over the rocks, and he could not hear his own steps. But the light "
        "burned until the morning, and no ship was ever lost on that coast again.",
    ),
    (
        "Bread is made from flour, water, salt and yeast.",
        " First the flour is mixed with the water and left to rest. Then the yeast and the salt are added, and the "
        "dough is kneaded until it is smooth. It has to rise in a warm place for about an hour. After that it is "
        "shaped into a loaf and baked in a hot oven until the crust is brown.",
    ),
    (
        "When water is heated, its molecules move faster.",
        " At one hundred degrees Celsius it begins to boil, and the liquid turns into a gas. The gas rises, cools in "
        "the air above, and forms small drops that we can see as a cloud. On a high mountain the pressure of the air "
        "is lower, so that water boils at a lower temperature and food takes longer to cook.",
    ),
    (
        '"Where have you been?" asked her mother.',
        ' "I was at the library," said Anna, "and I forgot the time." She put her bag on the table and took out '
        'three books. "Look, this one is about the stars, and this one is about animals that live in the desert." '
        'Her mother smiled and said, "Then you can read to me after dinner."',
    ),
    (
        "The city council met on Tuesday to discuss the new bridge.",
        " Several members said that the cost was too high and that the money should be spent on schools. Others "
        "argued that the old bridge was no longer safe and that traffic had doubled in the last ten years. After a "
        "debate of three hours the council voted to ask for a second report before making a decision.",
    ),
    (
        "A computer program is a list of instructions.",
        " The computer reads the instructions one after another and does what they say. A loop repeats some of them "
        "until a condition is met, and a function gives a name to a group of them so that they can be used again. "
        "When there is an error in the program, the programmer has to find the line that causes it and change it.",
    ),
    (
        "In the spring the farmers prepare the fields.",
        " They plough the soil, take out the stones, and sow the seeds in straight rows. If there is enough rain, "
        "the first green leaves can be seen after two weeks. During the summer the plants grow tall, and in the "
        "autumn the grain is cut, dried and stored, so that there is enough to eat in the winter.",
    ),
    (
        "The heart is a muscle that pumps blood through the body.",
        " The blood carries oxygen from the lungs to all the organs and brings carbon dioxide back. When we run, the "
        "muscles need more oxygen, so that the heart beats faster and we breathe more deeply. Regular exercise makes "
        "the heart stronger, and a healthy diet keeps the blood vessels open.",
    ),
)
"""A beginning, and how it goes on: plain prose of the kind that every language model has seen, written for this."""

DIGEST = digest_of({"version": VERSION, "prompts": PROMPTS, "passages": PASSAGES})
