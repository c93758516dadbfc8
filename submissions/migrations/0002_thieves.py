
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('submissions', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='submission',
            name='role',
            field=models.CharField(choices=[('defense', 'Defense'), ('attack', 'Attack'), ('learner', 'Learner'), ('poisoner', 'Poisoner'), ('thief', 'Thief')], max_length=8),
        ),
    ]
